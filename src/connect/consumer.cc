// consumer.override.* becomes properties of librdkafka.
#include "kafka/consumer.h"

#include <fmt/format.h>

#include "connect/draft.h"
#include "task/task.h"

namespace sluice::connect {
namespace {

constexpr std::string_view kPrefix = "consumer.override.";

// Java's names that librdkafka has under another one.
std::string_view native_name(std::string_view name) {
  if (name == "fetch.max.wait.ms") return "fetch.wait.max.ms";
  if (name == "receive.buffer.bytes") return "socket.receive.buffer.bytes";
  if (name == "send.buffer.bytes") return "socket.send.buffer.bytes";
  return name;
}

// Nothing is lost without these: Sluice keeps positions and reads in its own way.
bool is_consumers_own(std::string_view name) {
  for (const std::string_view own :
       {"auto.offset.reset", "max.poll.records", "max.poll.interval.ms", "enable.auto.commit",
        "auto.commit.interval.ms", "partition.assignment.strategy", "default.api.timeout.ms",
        "request.timeout.ms", "client.id", "group.protocol", "exclude.internal.topics",
        "allow.auto.create.topics", "interceptor.classes", "metric.reporters", "check.crcs"}) {
    if (name == own) return true;
  }
  return name.starts_with("metrics.");
}

bool is_pem(const Configuration& from, std::string_view store, std::string_view location) {
  return from.get(fmt::format("{}{}.type", kPrefix, store), "") == "PEM" ||
         location.ends_with(".pem") || location.ends_with(".crt");
}

void read_jaas(const std::string& value, const std::string& property, Draft& draft,
               Report& report) {
  if (value.find("PlainLoginModule") == std::string::npos &&
      value.find("ScramLoginModule") == std::string::npos && !has_provider_reference(value)) {
    return report.not_supported(property,
                                "not copied; only PLAIN and SCRAM become sasl.username and "
                                "sasl.password: see librdkafka's sasl.* for source.kafka");
  }
  draft.kafka["sasl.username"] = "${env:KAFKA_USERNAME}";
  draft.kafka["sasl.password"] = "${env:KAFKA_PASSWORD}";
  report.taken(property,
               "never copied: sasl.username and sasl.password in source.kafka are "
               "${env:KAFKA_USERNAME} and ${env:KAFKA_PASSWORD}; set them");
}

void read_ssl(const Configuration& from, const std::string& name, const std::string& value,
              const std::string& property, Draft& draft, Report& report) {
  const bool trust = name.starts_with("ssl.truststore");
  if (name == "ssl.truststore.location" && is_pem(from, "ssl.truststore", value)) {
    draft.kafka["ssl.ca.location"] = literal(value);
    return report.taken(property, "ssl.ca.location in source.kafka");
  }
  if (name == "ssl.keystore.location" && is_pem(from, "ssl.keystore", value)) {
    draft.kafka["ssl.certificate.location"] = literal(value);
    draft.kafka["ssl.key.location"] = literal(value);
    return report.taken(property, "ssl.certificate.location and ssl.key.location in source.kafka");
  }
  if (name == "ssl.key.password") {
    draft.kafka["ssl.key.password"] = "${env:KAFKA_SSL_KEY_PASSWORD}";
    return report.taken(property, "never copied: ${env:KAFKA_SSL_KEY_PASSWORD}; set it");
  }
  if (name.ends_with(".type")) {
    return report.not_needed(property, "said by the property that names the file");
  }
  report.not_supported(property,
                       trust ? "not copied; librdkafka takes PEM: export the certificates and name "
                               "the file in ssl.ca.location"
                             : "not copied; librdkafka takes PEM: export certificate and key and "
                               "name the files in ssl.certificate.location and ssl.key.location");
}

}  // namespace

void read_consumer(const Configuration& from, Draft& draft, Report& report) {
  for (const auto& property : from.all()) {
    if (!property.name.starts_with(kPrefix)) continue;
    const std::string name = property.name.substr(kPrefix.size());
    const std::string value = from.get(property.name, "");
    if (name == "group.id") {
      report.taken(property.name, "source.start: {group: ...}");
    } else if (name == "sasl.jaas.config") {
      read_jaas(value, property.name, draft, report);
    } else if (name == "ssl.endpoint.identification.algorithm") {
      draft.kafka[name] = value.empty() ? "none" : literal(value);
      report.taken(property.name, "source.kafka");
    } else if (name.starts_with("ssl.truststore") || name.starts_with("ssl.keystore") ||
               name == "ssl.key.password") {
      read_ssl(from, name, value, property.name, draft, report);
    } else if (is_consumers_own(name)) {
      report.not_needed(property.name, "positions, groups and polling are Sluice's own business");
    } else if (task::is_secret_property(name)) {
      report.not_supported(property.name,
                           "not copied, it looks like a secret: add it to source.kafka as "
                           "${env:NAME} if librdkafka has it");
    } else if (has_provider_reference(value)) {
      report.not_supported(property.name,
                           "not copied, a config provider of Connect knows the value: add it to "
                           "source.kafka as ${env:NAME}");
    } else {
      const std::string native(native_name(name));
      std::map<std::string, std::string> one{{"bootstrap.servers", "h:9092"}};
      one[native] = value;
      if (const auto checked = kafka::check_properties(one);
          !checked && checked.error().code == native) {
        report.not_supported(property.name,
                             "librdkafka has no such property, or does not take "
                             "this value: see its names for source.kafka");
        continue;
      }
      draft.kafka[native] = literal(value);
      report.taken(property.name, fmt::format("{} in source.kafka", native));
    }
  }
}

}  // namespace sluice::connect
