// AdminImpl: what concerns consumer groups.
#include <fmt/format.h>

#include <thread>

#include "kafka/admin_impl.h"

namespace sluice::kafka {
namespace {

using Committed = std::unique_ptr<rd_kafka_ListConsumerGroupOffsets_t,
                                  native::Deleter<rd_kafka_ListConsumerGroupOffsets_destroy>>;

using Committing = std::unique_ptr<rd_kafka_AlterConsumerGroupOffsets_t,
                                   native::Deleter<rd_kafka_AlterConsumerGroupOffsets_destroy>>;

rd_kafka_resp_err_t code_of(const rd_kafka_error_t* problem) {
  return problem == nullptr ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(problem);
}

std::string text_of(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

GroupMember member_of(const rd_kafka_MemberDescription_t* description) {
  GroupMember member;
  member.id = text_of(rd_kafka_MemberDescription_consumer_id(description));
  member.client_id = text_of(rd_kafka_MemberDescription_client_id(description));
  member.host = text_of(rd_kafka_MemberDescription_host(description));
  const auto* assignment = rd_kafka_MemberDescription_assignment(description);
  if (assignment != nullptr) {
    member.partitions = native::partitions_of(rd_kafka_MemberAssignment_partitions(assignment));
  }
  return member;
}

}  // namespace

Result<std::map<TopicPartition, std::int64_t>> AdminImpl::committed(const std::string& group,
                                                                    milliseconds timeout) {
  const Deadline deadline(timeout);
  const Committed question(rd_kafka_ListConsumerGroupOffsets_new(group.c_str(), nullptr));
  while (true) {
    auto event = ask(RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, deadline, false,
                     [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                       auto* one = question.get();
                       rd_kafka_ListConsumerGroupOffsets(client_.get(), &one, 1, options, queue);
                     });
    if (!event) return fail(event.error());
    std::size_t count = 0;
    const auto** groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event->get()), &count);
    SLUICE_CHECK(count == 1);
    const auto* problem = rd_kafka_group_result_error(groups[0]);
    const auto code = code_of(problem);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (is_passing(code) && !deadline.over()) {
        std::this_thread::sleep_for(kRetryPause);
        continue;
      }
      return fail(explain_about(state_.endpoint(), native::name_of(code),
                                rd_kafka_error_string(problem), "group", group));
    }
    std::map<TopicPartition, std::int64_t> found;
    const auto* answered = rd_kafka_group_result_partitions(groups[0]);
    for (int i = 0; answered != nullptr && i < answered->cnt; ++i) {
      const auto& each = answered->elems[i];
      if (each.err == RD_KAFKA_RESP_ERR_NO_ERROR && each.offset >= 0) {
        found[{each.topic, each.partition}] = each.offset;
      }
    }
    return found;
  }
}

Result<std::vector<GroupName>> AdminImpl::groups(milliseconds timeout) {
  auto event = ask(RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, Deadline(timeout), false,
                   [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                     rd_kafka_ListConsumerGroups(client_.get(), options, queue);
                   });
  if (!event) return fail(event.error());
  const auto* result = rd_kafka_event_ListConsumerGroups_result(event->get());
  std::size_t count = 0;
  const auto** listed = rd_kafka_ListConsumerGroups_result_valid(result, &count);
  std::vector<GroupName> groups;
  for (std::size_t i = 0; i < count; ++i) {
    const auto state = rd_kafka_ConsumerGroupListing_state(listed[i]);
    groups.push_back({text_of(rd_kafka_ConsumerGroupListing_group_id(listed[i])),
                      state == RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN
                          ? ""
                          : text_of(rd_kafka_consumer_group_state_name(state))});
  }
  std::size_t problems = 0;
  const auto** errors = rd_kafka_ListConsumerGroups_result_errors(result, &problems);
  if (groups.empty() && problems > 0) {
    const auto code = rd_kafka_error_code(errors[0]);
    return fail(
        explain(state_.endpoint(), native::name_of(code), rd_kafka_error_string(errors[0])));
  }
  return groups;
}

Result<std::map<TopicPartition, std::int64_t>> AdminImpl::committed(
    const std::string& group, const std::vector<TopicPartition>& partitions, milliseconds timeout) {
  const Deadline deadline(timeout);
  std::map<TopicPartition, std::int64_t> found;
  std::vector<TopicPartition> open = partitions;
  std::optional<Error> passing;  // says more than that there was no time for another question
  while (!open.empty()) {
    const auto list = native::make_list(open);
    const Committed question(rd_kafka_ListConsumerGroupOffsets_new(group.c_str(), list.get()));
    auto event = ask(RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, deadline, false,
                     [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                       auto* one = question.get();
                       rd_kafka_ListConsumerGroupOffsets(client_.get(), &one, 1, options, queue);
                     });
    if (!event) {
      const bool late = deadline.left_ms() <= kSlice.count();
      return fail(passing && late ? *passing : event.error());
    }
    std::size_t count = 0;
    const auto** groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event->get()), &count);
    SLUICE_CHECK(count == 1);
    const auto* problem = rd_kafka_group_result_error(groups[0]);
    if (const auto code = code_of(problem); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (is_passing(code) && !deadline.over()) {
        std::this_thread::sleep_for(kRetryPause);
        continue;
      }
      return fail(explain_about(state_.endpoint(), native::name_of(code),
                                rd_kafka_error_string(problem), "group", group));
    }
    const auto* answered = rd_kafka_group_result_partitions(groups[0]);
    open.clear();
    for (int i = 0; answered != nullptr && i < answered->cnt; ++i) {
      const auto& each = answered->elems[i];
      const TopicPartition id{each.topic, each.partition};
      if (each.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (each.offset >= 0) found[id] = each.offset;
        continue;
      }
      passing = explain_about(state_.endpoint(), native::name_of(each.err),
                              fmt::format("committed offset of {}/{}: {}", id.topic, id.partition,
                                          rd_kafka_err2str(each.err)),
                              "group", group);
      if (!is_passing(each.err) || deadline.over()) return fail(*passing);
      open.push_back(id);
    }
    if (!open.empty()) std::this_thread::sleep_for(kRetryPause);
  }
  return found;
}

Result<bool> AdminImpl::commit(const std::string& group,
                               const std::map<TopicPartition, std::int64_t>& next_offsets,
                               milliseconds timeout) {
  const Deadline deadline(timeout);
  const auto list = native::make_list(next_offsets);
  const Committing change(rd_kafka_AlterConsumerGroupOffsets_new(group.c_str(), list.get()));
  while (true) {
    auto event = ask(RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, deadline, false,
                     [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                       auto* one = change.get();
                       rd_kafka_AlterConsumerGroupOffsets(client_.get(), &one, 1, options, queue);
                     });
    if (!event) return fail(event.error());
    std::size_t count = 0;
    const auto** groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(
        rd_kafka_event_AlterConsumerGroupOffsets_result(event->get()), &count);
    SLUICE_CHECK(count == 1);
    const auto* problem = rd_kafka_group_result_error(groups[0]);
    auto code = code_of(problem);
    const auto* answered = rd_kafka_group_result_partitions(groups[0]);
    for (int i = 0; answered != nullptr && i < answered->cnt && !code; ++i) {
      code = answered->elems[i].err;
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    if (!is_passing(code) || deadline.over()) {
      return fail(explain_about(state_.endpoint(), native::name_of(code),
                                fmt::format("commit of offsets: {}", rd_kafka_err2str(code)),
                                "group", group));
    }
    std::this_thread::sleep_for(kRetryPause);
  }
}

Result<GroupInfo> AdminImpl::group(const std::string& group, milliseconds timeout) {
  const Deadline deadline(timeout);
  const auto send = [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
    const char* name = group.c_str();
    rd_kafka_DescribeConsumerGroups(client_.get(), &name, 1, options, queue);
  };
  while (true) {
    auto event = ask(RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, deadline, true, send);
    if (!event && event.error().code == "_UNSUPPORTED_FEATURE") {
      event = ask(RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, deadline, false, send);
    }
    if (!event) return fail(event.error());
    std::size_t count = 0;
    const auto** groups = rd_kafka_DescribeConsumerGroups_result_groups(
        rd_kafka_event_DescribeConsumerGroups_result(event->get()), &count);
    SLUICE_CHECK(count == 1);
    const auto* problem = rd_kafka_ConsumerGroupDescription_error(groups[0]);
    const auto code = code_of(problem);
    GroupInfo info;
    if (code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
      info.state = "Dead";
      return info;
    }
    // READ implies DESCRIBE: who may not even ask may not join.
    if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
      info.may_read = false;
      return info;
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      info.state =
          rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(groups[0]));
      info.members = static_cast<int>(rd_kafka_ConsumerGroupDescription_member_count(groups[0]));
      const auto* operations =
          rd_kafka_ConsumerGroupDescription_authorized_operations(groups[0], &count);
      info.may_read = may_read(operations, count);
      info.assignor = text_of(rd_kafka_ConsumerGroupDescription_partition_assignor(groups[0]));
      for (int i = 0; i < info.members; ++i) {
        info.member_list.push_back(member_of(
            rd_kafka_ConsumerGroupDescription_member(groups[0], static_cast<std::size_t>(i))));
      }
      return info;
    }
    if (!is_passing(code) || deadline.over()) {
      return fail(explain_about(state_.endpoint(), native::name_of(code),
                                rd_kafka_error_string(problem), "group", group));
    }
    std::this_thread::sleep_for(kRetryPause);
  }
}

}  // namespace sluice::kafka
