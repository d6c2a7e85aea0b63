// What a connection consists of: the parameters and secrets that each type takes, and how they
// become a conninfo or librdkafka's properties. docs/reference/connections.md lists them.
//
// What comes through the API is a list of what is allowed: nothing in it loads code, runs a
// command, or names a file or socket of this machine. No I/O, but for CertificateFiles.
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/body.h"
#include "control/connections.h"

namespace sluice::control {

// By name: "password", or a property of librdkafka.
using Secrets = std::map<std::string, std::string>;

struct ConnectionParameters {
  boost::json::object parameters;  // as they are kept and shown: defaults filled in, nothing secret
  Secrets secrets;
};

// Reads "parameters" and "secrets" of a body that makes a connection; what is wrong goes into
// `body`.
ConnectionParameters read_parameters(Body& body, std::string_view type);

// The same of a body that changes one. Only who logs in may change: user, password, the client's
// certificate; other members are taken if they say what is there already. `changed` has the paths
// of what differs.
struct ParameterChange {
  ConnectionParameters now;
  std::vector<std::string> changed;
};
ParameterChange read_change(Body& body, std::string_view type, const ConnectionParameters& before);

Secrets read_secrets(std::string_view json);  // of what write_secrets made
std::string write_secrets(const Secrets& secrets);

// Host and port of each server that it names.
struct Server {
  std::string host;
  std::string port;
};
std::vector<Server> servers_of(std::string_view type, const boost::json::object& parameters);

// `ca_file`: where the parameter ca_certificate can be read; empty if there is none.
OpenConnection open_with(std::string_view type, const ConnectionParameters& given,
                         const std::string& ca_file);

// Certificates of authorities as files, which is how libpq wants them: in memory, seen by this
// process alone, gone with it. Thread-safe.
class CertificateFiles {
 public:
  CertificateFiles() = default;
  ~CertificateFiles();
  CertificateFiles(const CertificateFiles&) = delete;
  CertificateFiles& operator=(const CertificateFiles&) = delete;

  // The path of a file with this text; the same as long as it is not dropped. Error: of the system.
  Result<std::string> path_of(const std::string& id, const std::string& pem);
  void drop(const std::string& id);

 private:
  std::mutex mutex_;
  std::map<std::string, int> files_;
};

// A message or remedy of a lower module, which speaks of the task document, in a connection's
// words.
std::string in_words_of_connections(std::string text);

// docs/reference/connections.md, and its table of properties.
std::string connections_markdown();
std::string kafka_properties_markdown();

}  // namespace sluice::control
