// The names that the document gives to the values of each enum; parse.cc reads them, canonical.cc
// writes them. A unit test holds them against the table of keys.
#pragma once

#include <string_view>
#include <utility>

#include "task/task.h"

namespace sluice::task {

template <class E>
using Name = std::pair<std::string_view, E>;

inline constexpr Name<OnGap> kOnGapNames[] = {{"stop", OnGap::kStop},
                                              {"continue", OnGap::kContinue}};
inline constexpr Name<Write> kWriteNames[] = {{"insert", Write::kInsert},
                                              {"upsert", Write::kUpsert},
                                              {"update", Write::kUpdate},
                                              {"insert_ignore", Write::kInsertIgnore},
                                              {"history", Write::kHistory}};
inline constexpr Name<Delivery> kDeliveryNames[] = {{"exactly_once", Delivery::kExactlyOnce},
                                                    {"at_least_once", Delivery::kAtLeastOnce}};
inline constexpr Name<OnFailure> kOnFailureNames[] = {{"retain", OnFailure::kRetain},
                                                      {"discard", OnFailure::kDiscard},
                                                      {"deliver", OnFailure::kDeliver}};
inline constexpr Name<Nul> kNulNames[] = {
    {"fail", Nul::kFail}, {"strip", Nul::kStrip}, {"replace", Nul::kReplace}};
inline constexpr Name<OnTombstone> kOnTombstoneNames[] = {{"fail", OnTombstone::kFail},
                                                          {"delete", OnTombstone::kDelete},
                                                          {"ignore", OnTombstone::kIgnore}};
inline constexpr Name<Pooler> kPoolerNames[] = {{"none", Pooler::kNone},
                                                {"transaction", Pooler::kTransaction}};
inline constexpr Name<Level> kLevelNames[] = {{"current", Level::kCurrent},
                                              {"postgresql_9_4", Level::kPostgres94}};
inline constexpr Name<Unchanged> kUnchangedNames[] = {{"write", Unchanged::kWrite},
                                                      {"skip", Unchanged::kSkip}};
inline constexpr Name<OnAbsent> kOnAbsentNames[] = {{"default", OnAbsent::kDefault},
                                                    {"null", OnAbsent::kNull},
                                                    {"keep", OnAbsent::kKeep},
                                                    {"fail", OnAbsent::kFail}};
inline constexpr Name<OnNull> kOnNullNames[] = {
    {"null", OnNull::kNull}, {"default", OnNull::kDefault}, {"fail", OnNull::kFail}};
inline constexpr Name<Mode> kModeNames[] = {{"mapping", Mode::kMapping}, {"mirror", Mode::kMirror}};
inline constexpr Name<Format> kFormatNames[] = {{"auto", Format::kAuto},
                                                {"debezium", Format::kDebezium},
                                                {"json", Format::kJson},
                                                {"canal", Format::kCanal}};
inline constexpr Name<OnDelete> kOnDeleteNames[] = {{"delete", OnDelete::kDelete},
                                                    {"ignore", OnDelete::kIgnore}};
inline constexpr Name<OnMissingRow> kOnMissingRowNames[] = {{"insert", OnMissingRow::kInsert},
                                                            {"ignore", OnMissingRow::kIgnore},
                                                            {"fail", OnMissingRow::kFail}};
inline constexpr Name<EventMeta> kEventMetaNames[] = {{"op", EventMeta::kOp},
                                                      {"ts_ms", EventMeta::kTime},
                                                      {"source_ts_ms", EventMeta::kSourceTime},
                                                      {"lsn", EventMeta::kLsn},
                                                      {"file", EventMeta::kFile},
                                                      {"pos", EventMeta::kPos},
                                                      {"tx_id", EventMeta::kTxId},
                                                      {"position", EventMeta::kPosition}};
inline constexpr Name<Sweep> kSweepNames[] = {{"off", Sweep::kOff},
                                              {"after_snapshot", Sweep::kAfterSnapshot}};
inline constexpr Name<OnTruncate> kOnTruncateNames[] = {
    {"apply", OnTruncate::kApply}, {"ignore", OnTruncate::kIgnore}, {"fail", OnTruncate::kFail}};
inline constexpr Name<SchemaChanges> kSchemaChangesNames[] = {
    {"apply_safe", SchemaChanges::kApplySafe},
    {"apply_all", SchemaChanges::kApplyAll},
    {"warn", SchemaChanges::kWarn},
    {"stop", SchemaChanges::kStop}};
inline constexpr Name<WireUnit> kWireUnitNames[] = {
    {"s", WireUnit::kSeconds}, {"ms", WireUnit::kMillis},        {"us", WireUnit::kMicros},
    {"ns", WireUnit::kNanos},  {"base64", WireUnit::kBase64},    {"hex", WireUnit::kHex},
    {"text", WireUnit::kText}, {"unsigned", WireUnit::kUnsigned}};
inline constexpr Name<Unit> kUnitNames[] = {
    {"s", Unit::kSeconds}, {"ms", Unit::kMillis}, {"us", Unit::kMicros}, {"ns", Unit::kNanos}};
inline constexpr Name<Encoding> kEncodingNames[] = {{"base64", Encoding::kBase64},
                                                    {"hex", Encoding::kHex}};
inline constexpr Name<Meta> kMetaNames[] = {{"topic", Meta::kTopic},
                                            {"partition", Meta::kPartition},
                                            {"offset", Meta::kOffset},
                                            {"timestamp", Meta::kTimestamp},
                                            {"key", Meta::kKey},
                                            {"headers", Meta::kHeaders},
                                            {"ingested_at", Meta::kIngestedAt}};
inline constexpr Name<Tuning::CopyFormat> kCopyFormatNames[] = {
    {"auto", Tuning::CopyFormat::kAuto},
    {"text", Tuning::CopyFormat::kText},
    {"binary", Tuning::CopyFormat::kBinary}};

template <class E, std::size_t N>
constexpr std::string_view name_in(const Name<E> (&names)[N], E value) {
  for (const auto& [name, each] : names) {
    if (each == value) return name;
  }
  return {};
}

}  // namespace sluice::task
