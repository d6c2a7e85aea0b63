// Texts that MySQL wrote (message::Meaning::kMysqlText), as Canal sends them: what column they
// need, and what they are.
//
// Sources: Canal's issues 1008 and 1925 (enums come as the number of the label, sets as a bit
// mask), its RowsLogBuffer (BIT as a number, binary strings as ISO 8859-1); TiCDC's "Canal-JSON
// Protocol" says the same.
#pragma once

#include <string>

#include "message/message.h"
#include "message/type.h"
#include "message/value.h"
#include "sink/text_store.h"

namespace sluice::sink {

// PostgreSQL's type for a column that MySQL declares so: "numeric(20)" for bigint unsigned.
std::string column_type_of_mysql(const message::SourceType& type);

// Binary strings become bytes, BIT bits, numbers of enums and sets their labels; the rest stays the
// text it is, which the column's encoder reads.
bool from_mysql_text(const message::Type& type, message::Value& value, TextStore& store,
                     message::Problem& problem);

}  // namespace sluice::sink
