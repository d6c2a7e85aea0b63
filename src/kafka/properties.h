// The properties of a task as librdkafka gets them: what the user may set, what Sluice sets.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "kafka/consumer.h"

namespace sluice::kafka {

// What a consumer is created with: ours, then the user's where they may win. Assumes that
// check_properties() passed.
std::map<std::string, std::string> consumer_properties(const ConsumerConfig& config);
// The same for the client behind Admin.
std::map<std::string, std::string> admin_properties(
    const std::map<std::string, std::string>& properties, const std::string& client_id);

// True for properties whose value must never be shown.
bool is_secret(std::string_view property);

}  // namespace sluice::kafka
