// Which node, and what it answers.
#include "migrate/uploads.h"

#include "common/wire/copies.h"

#include <algorithm>

namespace cairn::migrate {

namespace {

constexpr std::size_t kPlaces = 4;
constexpr std::chrono::seconds kPlaceAge{1};

constexpr BatchLimits kTogether{
    .under_way = 4, .questions = wire::kUploadFilesMax, .bytes = wire::kUploadFilesBytesMax};

} // namespace

Uploads::Uploads(asio::any_io_executor executor, std::shared_ptr<ClientCore> core, unsigned copies,
                 Timeout timeout)
    : core_(std::move(core)),
      copies_(copies),
      timeout_(timeout),
      together_(std::make_shared<Together>(
          std::move(executor), kTogether, "upload",
          [this](Together::Wishes wishes) { return send(std::move(wishes)); })) {}

Task<Result<Stored>> Uploads::store(wire::View content, std::string extension, std::string mark) {
  File file(content, std::move(extension), std::move(mark));
  co_return co_await together_->ask(std::move(file), content.size());
}

Task<Result<StorePlace>> Uploads::place(Deadline deadline) {
  const auto now = std::chrono::steady_clock::now();
  if (now - placed_ > kPlaceAge) {
    places_.clear();
    placed_ = now;
  }
  if (places_.size() < kPlaces) {
    CAIRN_CO_TRY(chosen, co_await core_->place_for_upload({}, {}, deadline));
    places_.push_back(chosen);
    co_return chosen;
  }
  co_return places_[next_place_++ % places_.size()];
}

Task<void> Uploads::send(Together::Wishes wishes) {
  const Deadline deadline = core_->deadline(timeout_);
  const auto chosen = co_await place(deadline);
  if (!chosen) {
    Together::fail(wishes, chosen.error());
    co_return;
  }
  wire::UploadFiles request;
  request.copies = static_cast<std::uint8_t>(std::clamp(copies_, 1U, unsigned{wire::kCopiesMask}) |
                                             wire::kCopiesOfMembers);
  std::size_t bytes = 0;
  for (const auto& wish : wishes) {
    wire::UploadFile& file = request.files.emplace_back();
    file.size = wish->question.content.size();
    file.extension = std::move(wish->question.extension);
    file.mark = std::move(wish->question.mark);
    bytes += file.size;
  }
  const wire::Bytes header = wire::encode(request);
  wire::Bytes body;
  body.reserve(4 + header.size() + bytes);
  wire::Writer writer(body);
  writer.length_tagged(header);
  for (const auto& wish : wishes) writer.raw(wish->question.content);
  const ClientCore::Request sent(static_cast<std::uint8_t>(wire::kUploadFiles), std::move(body));
  const ClientCore::Exchange answer = co_await core_->exchange(chosen->address, sent, deadline);
  const auto reply = answer.reply ? wire::decode_lenient<wire::UploadFilesReply>(*answer.reply)
                                  : Result<wire::UploadFilesReply>(answer.reply.error());
  if (!reply || reply->refused || reply->files.size() != wishes.size()) {
    const Error refused(Errc::unavailable, "a storage node has not stored what it was sent");
    Together::fail(wishes, reply ? refused : reply.error());
    places_.clear(); // others may be well
    co_return;
  }
  for (std::size_t i = 0; i < wishes.size(); ++i) {
    const wire::UploadedFile& one = reply->files[i];
    if (one.code != Errc::ok) {
      wishes[i]->answer = Error(one.code, one.error);
      continue;
    }
    Stored stored;
    stored.id = one.id;
    stored.copies = CopyCount(reply->have, reply->wanted);
    wishes[i]->answer = std::move(stored);
  }
}

} // namespace cairn::migrate
