// Conversations of the blocking client with servers that answer, refuse, break off and lie.
#include "cairn/client.h"

#include "common/wire/fastdfs.h"
#include "common/wire/native.h"
#include "tests/unit/client/fake_server.h"

#include <gtest/gtest.h>

#include <atomic>

namespace cairn {
namespace {

using namespace std::chrono_literals;
using test::Answer;
using test::FakePeer;
using test::FakeServer;
using test::Frame;

constexpr std::string_view kName = "M00/01/0A/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt";
const std::string kId = "group1/" + std::string(kName);
const std::string kAppender = "group1/M00/00/00/CqgWMGIgcUiEPsHJAAAAADY6MCA314.txt";

ClientOptions options_for(std::vector<Address> trackers) {
  ClientOptions options;
  options.trackers = std::move(trackers);
  options.connect_timeout = 2s;
  options.network_timeout = 10s;
  return options;
}

// A storage node that stores everything under one name.
FakeServer::Script storing(std::atomic<int>* uploads = nullptr) {
  return test::answering([uploads](const Frame&) -> Answer {
    if (uploads != nullptr) ++*uploads;
    return {0, test::stored_reply(kName)};
  });
}

std::string text(const std::vector<std::byte>& bytes) {
  return std::string(wire::as_text(bytes));
}

UploadOptions with_extension(std::string extension) {
  UploadOptions options;
  options.extension = std::move(extension);
  return options;
}

// --- uploads

TEST(ClientUpload, SendsTheRecordedFrame) {
  std::string request;
  FakeServer storage([&request](FakePeer& peer) {
    request = peer.read_bytes(10 + 21);
    peer.reply(0, test::stored_reply(kName));
  });
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({tracker.address()}));
  const auto id = client.upload(Source::memory("hello\n"), with_extension("txt"));
  ASSERT_TRUE(id) << id.error().text();
  EXPECT_EQ(*id, kId);
  EXPECT_EQ(request, std::string("\0\0\0\0\0\0\0\x15\x0B\0"
                                 "\0\0\0\0\0\0\0\0\x06txt\0\0\0hello\n",
                                 31));
}

TEST(ClientUpload, GoesToAnotherNodeWhenTheFirstCannotBeReached) {
  std::atomic<int> uploads{0};
  FakeServer good(storing(&uploads));
  FakeServer tracker(test::tracker_of({test::nowhere(), good.address()}));
  Client client(options_for({tracker.address()}));
  const auto id = client.upload(Source::memory("hello\n"));
  ASSERT_TRUE(id) << id.error().text();
  EXPECT_EQ(uploads, 1);
}

TEST(ClientUpload, GoesToAnotherNodeWhenTheFirstIsFull) {
  std::atomic<int> uploads{0};
  FakeServer full(test::answering([](const Frame&) { return Answer{28, {}}; }));
  FakeServer good(storing(&uploads));
  FakeServer tracker(test::tracker_of({full.address(), good.address()}));
  Client client(options_for({tracker.address()}));
  ASSERT_TRUE(client.upload(Source::memory("hello\n")));
  EXPECT_EQ(uploads, 1);
}

TEST(ClientUpload, ABreakInTheMiddleOfTheBodyIsRepeatedElsewhere) {
  const std::string large(16 << 20, 'x');
  FakeServer breaking([](FakePeer& peer) {
    peer.read_bytes(100'000);
    peer.reset();
  });
  std::string stored;
  FakeServer good([&stored](FakePeer& peer) {
    if (const auto frame = peer.read_frame()) stored = frame->body.substr(15);
    peer.reply(0, test::stored_reply(kName));
  });
  FakeServer tracker(test::tracker_of({breaking.address(), good.address()}));
  Client client(options_for({tracker.address()}));
  const auto id = client.upload(Source::memory(large));
  ASSERT_TRUE(id) << id.error().text();
  EXPECT_TRUE(stored == large);
}

TEST(ClientUpload, ARefusalInTheMiddleOfTheBodyIsHeard) {
  const std::string large(64 << 20, 'x');
  FakeServer full([](FakePeer& peer) {
    peer.read_bytes(1000);
    peer.reply(28);
    peer.read_bytes(1 << 20); // and closes, with most of the body unread
  });
  FakeServer tracker(test::tracker_of({full.address()}));
  Client client(options_for({tracker.address()}));
  const auto id = client.upload(Source::memory(large));
  EXPECT_EQ(id.code(), Errc::no_space);
}

TEST(ClientUpload, WithoutAnAnswerTheOutcomeIsUnknownAndNobodyElseIsAsked) {
  std::atomic<int> uploads{0};
  FakeServer dying([](FakePeer& peer) { peer.read_frame(); });
  FakeServer other(storing(&uploads));
  FakeServer tracker(test::tracker_of({dying.address(), other.address()}));
  Client client(options_for({tracker.address()}));
  const auto id = client.upload(Source::memory("hello\n"));
  ASSERT_FALSE(id);
  EXPECT_EQ(id.code(), Errc::timeout);
  EXPECT_TRUE(id.error().outcome_unknown);
  EXPECT_EQ(uploads, 0);
}

TEST(ClientUpload, AReaderThatCannotGoBackFailsInsteadOfSendingHalf) {
  FakeServer breaking([](FakePeer& peer) {
    peer.read_bytes(100'000);
    peer.reset();
  });
  std::atomic<int> uploads{0};
  FakeServer good(storing(&uploads));
  FakeServer tracker(test::tracker_of({breaking.address(), good.address()}));
  Client client(options_for({tracker.address()}));
  const auto id = client.upload(Source::reader(
      16 << 20, [](std::span<std::byte> out) { return Result<std::size_t>(out.size()); }));
  EXPECT_EQ(id.code(), Errc::unavailable);
  EXPECT_FALSE(id.error().outcome_unknown);
  EXPECT_EQ(uploads, 0);
}

TEST(ClientUpload, AReaderThatCanGoBackIsReadAgain) {
  FakeServer breaking([](FakePeer& peer) {
    peer.read_bytes(100'000);
    peer.reset();
  });
  std::string stored;
  FakeServer good([&stored](FakePeer& peer) {
    if (const auto frame = peer.read_frame()) stored = frame->body.substr(15);
    peer.reply(0, test::stored_reply(kName));
  });
  FakeServer tracker(test::tracker_of({breaking.address(), good.address()}));
  Client client(options_for({tracker.address()}));
  const std::uint64_t size = 16 << 20;
  std::uint64_t at = 0;
  const auto byte_at = [](std::uint64_t i) { return static_cast<std::byte>(i % 251); };
  const auto id = client.upload(Source::reader(
      size,
      [&](std::span<std::byte> out) {
        const std::size_t count = std::min<std::size_t>(out.size(), 10'000);
        for (std::size_t i = 0; i < count; ++i) out[i] = byte_at(at++);
        return Result<std::size_t>(count);
      },
      [&at] {
        at = 0;
        return Status();
      }));
  ASSERT_TRUE(id) << id.error().text();
  ASSERT_EQ(stored.size(), size);
  for (std::uint64_t i = 0; i < size; i += 9973)
    ASSERT_EQ(static_cast<std::byte>(stored[i]), byte_at(i));
}

TEST(ClientUpload, MetadataFollowsTheFile) {
  std::vector<std::uint8_t> commands;
  std::string metadata;
  FakeServer storage(test::answering([&](const Frame& frame) -> Answer {
    commands.push_back(frame.header.command);
    if (frame.command() == wire::Command::upload_file) return {0, test::stored_reply(kName)};
    metadata = frame.body.substr(33 + kName.size());
    return {};
  }));
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({tracker.address()}));
  UploadOptions options;
  options.metadata = {{"width", "640"}};
  ASSERT_TRUE(client.upload(Source::memory("x"), options));
  EXPECT_EQ(commands, (std::vector<std::uint8_t>{11, 13}));
  EXPECT_EQ(metadata,
            "width\x02"
            "640");
}

TEST(ClientUpload, AKeptConnectionThatDiedIsReplaced) {
  // Each connection answers once and closes. What is sent before the client can know that has an
  // unknown outcome: another test.
  FakeServer storage([](FakePeer& peer) {
    if (peer.read_frame()) peer.reply(0, test::stored_reply(kName));
  });
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({tracker.address()}));
  for (int i = 0; i < 5; ++i) {
    const auto id = client.upload(Source::memory("hello\n"));
    ASSERT_TRUE(id) << i << ": " << id.error().text();
    storage.wait_closed(i + 1);
  }
}

TEST(ClientUpload, NoNodeAtAllIsUnavailable) {
  FakeServer tracker(test::answering([](const Frame&) { return Answer{2, {}}; }));
  Client client(options_for({tracker.address()}));
  EXPECT_EQ(client.upload(Source::memory("x")).code(), Errc::unavailable);
}

TEST(ClientUpload, AnUnknownGroupIsNotFound) {
  FakeServer tracker(test::answering([](const Frame&) { return Answer{2, {}}; }));
  Client client(options_for({tracker.address()}));
  UploadOptions options;
  options.group = "nogroup";
  EXPECT_EQ(client.upload(Source::memory("x"), options).code(), Errc::not_found);
}

// --- downloads

const std::string kContent = [] {
  std::string content;
  for (int i = 0; i < 100'000; ++i) content += static_cast<char>('a' + i % 23);
  return content;
}();

// Answers a download request from `content`, as much as was asked for.
void serve(FakePeer& peer, const Frame& frame, const std::string& content) {
  const auto request = *wire::decode<wire::Download>(wire::as_view(frame.body));
  const std::size_t left = content.size() - static_cast<std::size_t>(request.offset);
  const std::size_t length = request.length == 0 ? left : static_cast<std::size_t>(request.length);
  peer.reply(0, std::string_view(content).substr(static_cast<std::size_t>(request.offset), length));
}

TEST(ClientDownload, GoesOnAtAnotherNodeWhereTheFirstBrokeOff) {
  FakeServer breaking([](FakePeer& peer) {
    peer.read_frame();
    peer.reply_header(kContent.size());
    peer.send(std::string_view(kContent).substr(0, 40'000));
  });
  std::uint64_t asked_offset = 0;
  std::uint64_t asked_length = 0;
  FakeServer good([&](FakePeer& peer) {
    if (const auto frame = peer.read_frame()) {
      const auto request = *wire::decode<wire::Download>(wire::as_view(frame->body));
      asked_offset = request.offset;
      asked_length = request.length;
      serve(peer, *frame, kContent);
    }
  });
  FakeServer tracker(test::tracker_of({breaking.address(), good.address()}));
  Client client(options_for({tracker.address()}));
  std::vector<std::byte> bytes;
  const auto done = client.download(test::id_of(kContent), Sink::memory(bytes));
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_TRUE(text(bytes) == kContent);
  EXPECT_TRUE(done->verified);
  EXPECT_EQ(asked_offset, 40'000U);
  EXPECT_EQ(asked_length, kContent.size() - 40'000);
}

TEST(ClientDownload, AWriterGetsEveryByteOnceOverABreak) {
  FakeServer breaking([](FakePeer& peer) {
    peer.read_frame();
    peer.reply_header(kContent.size());
    peer.send(std::string_view(kContent).substr(0, 12'345));
  });
  FakeServer good([&](FakePeer& peer) {
    if (const auto frame = peer.read_frame()) serve(peer, *frame, kContent);
  });
  FakeServer tracker(test::tracker_of({breaking.address(), good.address()}));
  Client client(options_for({tracker.address()}));
  std::string got;
  const auto done =
      client.download(test::id_of(kContent), Sink::writer([&got](std::span<const std::byte> bytes) {
                        got += wire::as_text(bytes);
                        return Status();
                      }));
  ASSERT_TRUE(done);
  EXPECT_TRUE(got == kContent);
}

TEST(ClientDownload, WrongBytesAreFetchedFromAnotherNode) {
  std::string wrong = kContent;
  wrong[5000] = '!';
  FakeServer lying([&](FakePeer& peer) {
    if (const auto frame = peer.read_frame()) serve(peer, *frame, wrong);
  });
  FakeServer good([&](FakePeer& peer) {
    if (const auto frame = peer.read_frame()) serve(peer, *frame, kContent);
  });
  FakeServer tracker(test::tracker_of({lying.address(), good.address()}));
  Client client(options_for({tracker.address()}));
  std::vector<std::byte> bytes;
  const auto done = client.download(test::id_of(kContent), Sink::memory(bytes));
  ASSERT_TRUE(done);
  EXPECT_TRUE(text(bytes) == kContent);
}

TEST(ClientDownload, WrongBytesEverywhereAreAnError) {
  std::string wrong = kContent;
  wrong.back() = '!';
  FakeServer lying([&](FakePeer& peer) {
    while (const auto frame = peer.read_frame()) serve(peer, *frame, wrong);
  });
  FakeServer tracker(test::tracker_of({lying.address()}));
  Client client(options_for({tracker.address()}));
  std::vector<std::byte> bytes;
  EXPECT_EQ(client.download(test::id_of(kContent), Sink::memory(bytes)).code(), Errc::corrupt);
  DownloadOptions unchecked;
  unchecked.verify = false;
  EXPECT_TRUE(client.download(test::id_of(kContent), Sink::memory(bytes), unchecked));
}

TEST(ClientDownload, ARangeIsNotVerified) {
  FakeServer storage([&](FakePeer& peer) {
    while (const auto frame = peer.read_frame()) serve(peer, *frame, kContent);
  });
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({tracker.address()}));
  DownloadOptions range;
  range.offset = 10;
  range.length = 20;
  std::vector<std::byte> bytes;
  const auto done = client.download(test::id_of(kContent), Sink::memory(bytes), range);
  ASSERT_TRUE(done);
  EXPECT_FALSE(done->verified);
  EXPECT_EQ(text(bytes), kContent.substr(10, 20));
}

TEST(ClientDownload, AnEmptyFile) {
  FakeServer storage(test::answering([](const Frame&) { return Answer{}; }));
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({tracker.address()}));
  std::vector<std::byte> bytes(3);
  const auto done = client.download(test::id_of(""), Sink::memory(bytes));
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_TRUE(done->verified);
  EXPECT_TRUE(bytes.empty());
}

TEST(ClientDownload, AFileThatChangedInBetweenIsAnError) {
  FakeServer breaking([](FakePeer& peer) {
    peer.read_frame();
    peer.reply_header(1000);
    peer.send(std::string(500, 'x'));
  });
  FakeServer shorter([](FakePeer& peer) {
    peer.read_frame();
    peer.reply(0, std::string(100, 'y'));
  });
  FakeServer tracker(test::tracker_of({breaking.address(), shorter.address()}));
  Client client(options_for({tracker.address()}));
  std::vector<std::byte> bytes;
  EXPECT_EQ(client.download(kAppender, Sink::memory(bytes)).code(), Errc::busy);
}

TEST(ClientDownload, TheSinksErrorIsTheAnswer) {
  FakeServer storage([&](FakePeer& peer) {
    while (const auto frame = peer.read_frame()) serve(peer, *frame, kContent);
  });
  FakeServer tracker(test::tracker_of({storage.address(), storage.address()}));
  Client client(options_for({tracker.address()}));
  const auto done =
      client.download(test::id_of(kContent), Sink::writer([](std::span<const std::byte>) -> Status {
                        return Error{Errc::no_space, "disk full"};
                      }));
  EXPECT_EQ(done.code(), Errc::no_space);
}

TEST(ClientDownload, AMissingFileIsNotAskedForElsewhere) {
  std::atomic<int> asked{0};
  FakeServer storage(test::answering([&asked](const Frame&) {
    ++asked;
    return Answer{2, {}};
  }));
  FakeServer other(test::answering([&asked](const Frame&) {
    ++asked;
    return Answer{2, {}};
  }));
  FakeServer tracker(test::tracker_of({storage.address(), other.address()}));
  Client client(options_for({tracker.address()}));
  std::vector<std::byte> bytes;
  EXPECT_EQ(client.download(kId, Sink::memory(bytes)).code(), Errc::not_found);
  EXPECT_EQ(asked, 1);
}

TEST(ClientDownload, AGroupWithoutNodesIsUnavailableNotMissing) {
  FakeServer tracker(test::answering([](const Frame& frame) -> Answer {
    if (frame.command() == wire::Command::list_group) return {0, std::string(113, '\0')};
    return {2, {}};
  }));
  Client client(options_for({tracker.address()}));
  std::vector<std::byte> bytes;
  EXPECT_EQ(client.download(kId, Sink::memory(bytes)).code(), Errc::unavailable);
}

// --- changes

// What a storage node is sent by one call, and that it succeeds with `reply`.
std::string sent_by(const std::function<Status(Client&)>& call, std::string reply = {}) {
  std::string sent;
  FakeServer storage(test::answering([&](const Frame& frame) -> Answer {
    sent = std::to_string(frame.header.command) + ":" + frame.body;
    return {0, reply};
  }));
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({tracker.address()}));
  const Status done = call(client);
  EXPECT_TRUE(done) << done.error().text();
  return sent;
}

std::string number(std::uint64_t value) {
  std::string bytes(8, '\0');
  for (std::size_t i = 8; i-- > 0; value >>= 8) bytes[i] = static_cast<char>(value & 0xFF);
  return bytes;
}

std::string padded(std::string value, std::size_t size) {
  value.resize(size);
  return value;
}

TEST(ClientChange, Frames) {
  const std::string appender = kAppender.substr(7);
  EXPECT_EQ(sent_by([](Client& c) { return c.remove(kId); }),
            "12:" + padded("group1", 16) + std::string(kName));
  EXPECT_EQ(sent_by([](Client& c) { return c.append(kAppender, Source::memory("more")); }),
            "24:" + number(44) + number(4) + appender + "more");
  EXPECT_EQ(sent_by([](Client& c) { return c.modify(kAppender, 7, Source::memory("new")); }),
            "34:" + number(44) + number(7) + number(3) + appender + "new");
  EXPECT_EQ(sent_by([](Client& c) { return c.truncate(kAppender, 9); }),
            "36:" + number(44) + number(9) + appender);
  EXPECT_EQ(sent_by([](Client& c) {
              return c.set_metadata(kId, {{"a", "b"}}, true);
            }),
            "13:" + number(kName.size()) + number(3) + "M" + padded("group1", 16) +
                std::string(kName) +
                "a\x02"
                "b");
  EXPECT_EQ(sent_by(
                [](Client& c) -> Status {
                  CAIRN_TRY(id, c.regenerate(kAppender));
                  EXPECT_EQ(id, kId);
                  return {};
                },
                test::stored_reply(kName)),
            "38:" + appender);
  EXPECT_EQ(sent_by(
                [](Client& c) -> Status {
                  CAIRN_TRY(id, c.upload_slave(kId, "_big", "jpg", Source::memory("data")));
                  EXPECT_EQ(id, kId);
                  return {};
                },
                test::stored_reply(kName)),
            "21:" + number(kName.size()) + number(4) + padded("_big", 16) + padded("jpg", 6) +
                std::string(kName) + "data");
}

TEST(ClientChange, ADeleteIsRepeatedAtAnotherNode) {
  FakeServer dying([](FakePeer& peer) { peer.read_frame(); });
  std::atomic<int> deletes{0};
  FakeServer good(test::answering([&deletes](const Frame&) {
    ++deletes;
    return Answer{};
  }));
  FakeServer tracker(test::tracker_of({dying.address(), good.address()}));
  Client client(options_for({tracker.address()}));
  const Status done = client.remove(kId);
  EXPECT_TRUE(done) << done.error().text();
  EXPECT_EQ(deletes, 1);
}

TEST(ClientChange, AnAppendIsNot) {
  FakeServer dying([](FakePeer& peer) { peer.read_frame(); });
  std::atomic<int> appends{0};
  FakeServer other(test::answering([&appends](const Frame&) {
    ++appends;
    return Answer{};
  }));
  FakeServer tracker(test::tracker_of({dying.address(), other.address()}));
  Client client(options_for({tracker.address()}));
  const Status done = client.append(kAppender, Source::memory("more"));
  ASSERT_FALSE(done);
  EXPECT_TRUE(done.error().outcome_unknown);
  EXPECT_EQ(appends, 0);
}

TEST(ClientMetadata, AFileWithoutHasNone) {
  FakeServer storage(test::answering([](const Frame& frame) -> Answer {
    if (frame.command() == wire::Command::get_metadata) return {2, {}};
    return {0, number(6) + number(1) + number(0) + padded("10.0.0.1", 16)};
  }));
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({tracker.address()}));
  const auto metadata = client.get_metadata(kId);
  ASSERT_TRUE(metadata);
  EXPECT_TRUE(metadata->empty());
}

TEST(ClientMetadata, AMissingFileIsMissing) {
  FakeServer storage(test::answering([](const Frame&) { return Answer{2, {}}; }));
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({tracker.address()}));
  EXPECT_EQ(client.get_metadata(kId).code(), Errc::not_found);
}

// --- trackers

TEST(ClientTrackers, TheNextOneIsAskedAndRemembered) {
  FakeServer storage(storing());
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({test::nowhere(), tracker.address()}));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client.upload(Source::memory("x")));
  EXPECT_EQ(tracker.connections(), 1);
}

TEST(ClientTrackers, NobodyIsUnavailable) {
  Client client(options_for({test::nowhere(), test::nowhere()}));
  EXPECT_EQ(client.groups().code(), Errc::unavailable);
}

TEST(ClientTrackers, ATrackerThatHangsIsLeftInTime) {
  FakeServer hanging([](FakePeer& peer) {
    peer.read_frame();
    peer.read_frame(); // until the client goes
  });
  auto options = options_for({hanging.address()});
  options.network_timeout = 300ms;
  Client client(options);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(client.groups().code(), Errc::unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST(ClientTrackers, AnOperationEndsAtItsDeadline) {
  FakeServer hanging([](FakePeer& peer) {
    peer.read_frame();
    peer.read_frame();
  });
  FakeServer tracker(test::tracker_of({hanging.address()}));
  Client client(options_for({tracker.address()}));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(client.info(kId, 300ms).code(), Errc::timeout);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST(ClientNative, SaysHelloFirst) {
  std::vector<std::uint8_t> commands;
  wire::Hello hello;
  FakeServer tracker(test::answering([&](const Frame& frame) -> Answer {
    commands.push_back(frame.header.command);
    if (frame.header.command == 160) {
      hello = *wire::decode_lenient<wire::Hello>(wire::as_view(frame.body));
      return {0, std::string(wire::as_text(wire::encode(wire::HelloReply())))};
    }
    return {0, frame.body};
  }));
  Client client(options_for({tracker.address()}));
  const auto reply = client.admin(R"({"verb":"status"})");
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_EQ(*reply, R"({"verb":"status"})");
  ASSERT_TRUE(client.admin_at(tracker.address(), "{}"));
  EXPECT_EQ(commands, (std::vector<std::uint8_t>{160, 161, 161}));
  EXPECT_EQ(hello.role, wire::Role::admin);
}

TEST(ClientNative, AClusterViewIsRead) {
  FakeServer tracker(test::answering([](const Frame& frame) -> Answer {
    if (frame.header.command == 160)
      return {0, std::string(wire::as_text(wire::encode(wire::HelloReply())))};
    wire::NodeView node;
    node.id = 7;
    node.group = "group1";
    node.host = "10.0.0.1";
    node.port = 23000;
    node.state = wire::NodeState::active;
    wire::ClusterView view;
    view.version = 3;
    view.nodes.push_back(node);
    return {0, std::string(wire::as_text(wire::encode(view)))};
  }));
  Client client(options_for({tracker.address()}));
  const auto cluster = client.cluster();
  ASSERT_TRUE(cluster) << cluster.error().text();
  ASSERT_EQ(cluster->nodes.size(), 1U);
  EXPECT_EQ(cluster->nodes.front().address, Address("10.0.0.1", 23000));
  EXPECT_EQ(cluster->nodes.front().state, NodeState::active);
}

TEST(ClientThreads, ManyThreadsShareOneClient) {
  FakeServer storage(storing());
  FakeServer tracker(test::tracker_of({storage.address()}));
  Client client(options_for({tracker.address()}));
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) good += client.upload(Source::memory("x")) ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

} // namespace
} // namespace cairn
