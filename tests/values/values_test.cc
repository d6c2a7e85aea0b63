// Values of every type, by both COPY paths, against PostgreSQL as the oracle: the cases of
// values.tsv and generated ones. Prints a line a test; the last one is "N passed, N failed".
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "compare.h"
#include "curated.h"
#include "generate.h"
#include "postgres/encode.h"
#include "server.h"

namespace sluice::values {
namespace {

struct Arguments {
  std::uint64_t seed = 1;
  std::size_t count = 400;
  std::string only;
};

bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) return false;
    const std::string option = argv[i];
    const std::string value = argv[i + 1];
    std::int64_t number = 0;
    if (option == "-k") {
      arguments.only = value;
    } else if (!postgres::parse_integer(value, number) || number < 0) {
      return false;
    } else if (option == "--seed") {
      arguments.seed = static_cast<std::uint64_t>(number);
    } else if (option == "--count") {
      arguments.count = static_cast<std::size_t>(number);
    } else {
      return false;
    }
  }
  return true;
}

// The types that the subjects name beyond PostgreSQL's own; values.tsv knows them too.
void create_types(Server& server) {
  server.run("CREATE TYPE mood AS ENUM ('sad', 'it''s ok', E'häppy\t')");
  server.run("CREATE DOMAIN small AS int CHECK (VALUE < 10)");
  server.run("CREATE DOMAIN code AS varchar(3) NOT NULL");
  server.run("CREATE DOMAIN ints AS int[]");
  server.run("CREATE TYPE pair AS (a int, \"B c\" text, d text[])");
  // Gives a value to the input function of the column, or the JSON to json_populate_record; answers
  // with the SQLSTATE, or nothing if PostgreSQL takes it.
  server.run(
      "CREATE FUNCTION ask(n int, populate boolean, value text) RETURNS text LANGUAGE plpgsql AS "
      "$$ BEGIN "
      "IF populate THEN EXECUTE 'INSERT INTO oracle SELECT $1, "
      "(json_populate_record(NULL::oracle, json_build_object(''c'', $2::json))).c' USING n, value; "
      "ELSE EXECUTE format('INSERT INTO oracle VALUES (%s, %L)', n, value); END IF; "
      "RETURN ''; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$");
  server.run("CREATE TYPE nest AS (p pair, j jsonb, ps pair[])");
}

std::vector<std::int64_t> transitions_of(Server& server, const std::string& zone) {
  const std::string text = server.query(postgres::TimeZone::sql(zone)).scalar();
  std::vector<std::int64_t> seconds;
  for (std::size_t at = text.find(';'); at + 1 < text.size(); at = text.find(';', at + 1)) {
    seconds.push_back(std::stoll(text.substr(at + 1)));
  }
  return seconds;
}

// A seed of its own for each test, so that -k runs the very values of a full run.
std::uint64_t seed_of(std::uint64_t seed, const std::string& name) {
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return seed;
}

int run(const Arguments& arguments) {
  const char* conninfo = std::getenv("SLUICE_POSTGRES");
  if (conninfo == nullptr) {
    std::fprintf(stderr, "values_test: set SLUICE_POSTGRES to the conninfo of a server\n");
    return 2;
  }
  Server server(conninfo);
  create_types(server);
  Report report(arguments.only);
  run_curated(server, SLUICE_VALUES_FILE, report);
  const auto changes = [&](const std::string& zone) { return transitions_of(server, zone); };
  for (const Generator& generator : generators(changes)) {
    const std::string name = "generated " + generator.subject;
    if (!report.wants(name)) continue;
    Subject subject;
    SLUICE_CHECK(parse_subject(generator.subject, subject));
    Random random(seed_of(arguments.seed, name));
    std::vector<Sample> samples;
    for (std::size_t i = 0; i < arguments.count; ++i) samples.push_back(generator.make(random));
    Bench bench(server, subject);
    const Outcome outcome = bench.compare(samples);
    report.add(name + " (" + std::to_string(samples.size()) + " values, " +
                   std::to_string(outcome.binary) + " binary)",
               outcome.failures);
  }
  std::printf("seed %llu\n%zu passed, %zu failed\n",
              static_cast<unsigned long long>(arguments.seed), report.passed(), report.failed());
  return report.failed() == 0 ? 0 : 1;  // none may fit -k; ./test counts over all programs
}

}  // namespace
}  // namespace sluice::values

int main(int argc, char** argv) {
  sluice::values::Arguments arguments;
  if (!sluice::values::parse(argc, argv, arguments)) {
    std::fprintf(stderr, "usage: values_test [--seed N] [--count N] [-k NAME]\n");
    return 2;
  }
  return sluice::values::run(arguments);
}
