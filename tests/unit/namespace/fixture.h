// For tests of the namespace's rules: single operations on tables in memory.
#pragma once

#include "common/base/file_id.h"
#include "tests/unit/namespace/memory_store.h"
#include "tracker/namespace/batch.h"
#include "tracker/namespace/check.h"
#include "tracker/namespace/open_files.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace cairn::tracker {

// A stored file of 1000 bytes.
inline std::string id_of(std::uint32_t number) {
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(7);
  fields.timestamp = number;
  fields.size_field = make_size_field(1000, FileKind::normal, number);
  return "group12/" + make_remote_name(1, 2, 3, fields, "123.jpg");
}

// A namespace with one export, whose batches are applied at once.
class NamespaceFixture : public testing::Test {
protected:
  NamespaceFixture() {
    session_ = *internal([](Evaluation& e) { return e.begin_session(SessionRow()); });
    admin_.session = session_;
    admin_.admin = true;
    wire::NsExportChange add;
    add.values.name = "images";
    root_ = change<wire::NsExportReply>(wire::NsOp::export_add, add, admin_)->made.root;
    root_caller_.session = session_;
    user_.session = session_;
    user_.uid = user_.gid = 1000;
  }

  Result<std::uint64_t> internal(const std::function<Result<std::uint64_t>(Evaluation&)>& work) {
    Batch batch(store_, opens_, policy_, now_);
    CAIRN_RETURN_IF_ERROR(batch.begin());
    auto result = batch.internal(work);
    finish(batch);
    return result;
  }
  void finish(Batch& batch) {
    if (batch.changes()) {
      LogEntry entry;
      entry.position = LogPos{1, store_.applied().index + 1};
      entry.batch = wire::encode(batch.mutations());
      ASSERT_TRUE(store_.apply({&entry, 1}, true));
    }
    opens_.settle(true);
  }
  template <class Reply, class Request>
  Result<Reply> change(wire::NsOp op, const Request& request, const Caller& caller) {
    Batch batch(store_, opens_, policy_, now_);
    CAIRN_RETURN_IF_ERROR(batch.begin());
    Change one;
    one.op = op;
    one.caller = caller;
    one.sequence = ++sequence_;
    one.request = wire::encode(request);
    const Outcome outcome = batch.run(one);
    finish(batch);
    if (outcome.status != 0) return static_cast<Errc>(outcome.status);
    return wire::decode_lenient<Reply>(outcome.body);
  }
  template <class Reply, class Request>
  Result<Reply> ask(wire::NsOp op, const Request& request, const Caller& caller) {
    Evaluation evaluation(store_, caller, now_);
    CAIRN_TRY(bytes, evaluation.run(op, wire::encode(request)));
    return wire::decode_lenient<Reply>(bytes);
  }
  Result<wire::NsNodeReply> create(const std::string& name, const Caller& caller,
                                   std::uint16_t mode = 0644, std::uint64_t parent = 0,
                                   std::uint32_t stored = 0) {
    wire::NsCreate request;
    request.parent = parent == 0 ? root_ : parent;
    request.name = name;
    request.mode = mode;
    if (stored != 0) {
      wire::NsExtent extent;
      extent.length = 1000;
      extent.id = id_of(stored);
      request.extents.push_back(extent);
    }
    return change<wire::NsNodeReply>(wire::NsOp::create, request, caller);
  }
  Result<wire::NsRemoveReply> unlink(const std::string& name, const Caller& caller) {
    wire::NsRemove request;
    request.parent = root_;
    request.name = name;
    return change<wire::NsRemoveReply>(wire::NsOp::unlink, request, caller);
  }
  Errc set_mode(std::uint64_t inode, std::uint16_t mode, const Caller& caller) {
    wire::NsSetattr request;
    request.inode = inode;
    request.set = wire::kNsSetMode;
    request.mode = mode;
    return change<wire::NsNodeReply>(wire::NsOp::setattr, request, caller).code();
  }
  std::uint64_t due(std::uint64_t seconds) {
    Evaluation evaluation(store_, admin_, NsTime{static_cast<std::int64_t>(seconds), 0});
    const auto bytes = evaluation.run(wire::NsOp::due, wire::encode(wire::NsDue()));
    return wire::decode_lenient<wire::NsDueReply>(*bytes)->items.size();
  }
  void expect_sound() {
    const auto report = check_tables(store_);
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->faults.empty()) << report->faults[0];
  }

  MemoryStore store_;
  OpenTable opens_;
  NamespacePolicy policy_;
  NsTime now_{1'000'000, 5};
  std::uint64_t session_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint64_t root_ = 0;
  Caller admin_, root_caller_, user_;
};

} // namespace cairn::tracker
