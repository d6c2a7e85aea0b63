// From the JSON value of a change event to the Value that it means, by its message::Type: the
// unscaled bytes of a Decimal become digits, days become a date, base64 becomes bytes. What comes
// out does not depend on the column; ColumnEncoder does the rest.
#pragma once

#include <limits>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "message/message.h"
#include "message/type.h"
#include "message/value.h"
#include "postgres/catalog.h"
#include "sink/text_store.h"
#include "task/task.h"

namespace sluice::sink {

// `value` is as the decoder found it and becomes what it means; texts that are made for it live in
// `store`. False: `problem` (but for its field and column).
bool convert(const message::Type& type, message::Value& value, TextStore& store,
             message::Problem& problem);

// Type::scale of a decimal whose digits behind the point nobody has said.
inline constexpr std::int32_t kNoScale = std::numeric_limits<std::int32_t>::min();

// What a value for this column is taken to be when its message has no schema: what Debezium sends
// with its default settings. `unit`: what sync.units says of the column.
message::Type assumed_type(const postgres::Type& column, task::WireUnit unit);

// The placeholder of values that the source did not send, in all forms that Debezium gives it.
class Unavailable {
 public:
  explicit Unavailable(std::string_view text);
  // `value` as the decoder found it.
  bool is(const message::Value& value) const;

 private:
  std::string text_;
  std::string base64_;
  std::string array_;         // ["text"]
  std::string base64_array_;  // ["base64"]
  std::string codes_;         // [95,95,...]
  std::string uuid_array_;
  std::string map_;  // {"text":"text"}
};

}  // namespace sluice::sink
