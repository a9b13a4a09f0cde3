// The merge of catalogues.
#include "tools/compare.h"

namespace cairn::tools {

std::string_view describe(DifferenceKind kind) {
  switch (kind) {
    case DifferenceKind::missing:
      return "missing";
    case DifferenceKind::content:
      return "content";
    case DifferenceKind::metadata:
      return "metadata";
  }
  return "unknown";
}

CopyState copy_state(const wire::FileSummary& summary) {
  CopyState state;
  state.present = true;
  state.size = summary.size;
  state.crc32 = summary.crc32;
  state.meta_crc32 = summary.meta_crc32;
  return state;
}

CopyState copy_state(const wire::ProbeReply& reply) {
  CopyState state;
  state.present = reply.presence == wire::Presence::present;
  state.deleted = reply.presence == wire::Presence::deleted;
  state.size = reply.size;
  state.crc32 = reply.crc32;
  state.meta_crc32 = reply.meta_crc32;
  state.damaged = reply.damaged;
  return state;
}

std::optional<DifferenceKind> judge_copies(const std::vector<CopyState>& copies) {
  const CopyState* first = nullptr;
  bool missing = false;
  bool content = false;
  bool metadata = false;
  for (const CopyState& copy : copies) {
    if (!copy.present) {
      missing = true;
      continue;
    }
    content = content || copy.damaged;
    if (first == nullptr) {
      first = &copy;
      continue;
    }
    content = content || copy.size != first->size || copy.crc32 != first->crc32;
    metadata = metadata || copy.meta_crc32 != first->meta_crc32;
  }
  if (first == nullptr) return std::nullopt; // nobody has it: nothing to compare
  if (missing) return DifferenceKind::missing;
  if (content) return DifferenceKind::content;
  if (metadata) return DifferenceKind::metadata;
  return std::nullopt;
}

std::optional<std::size_t> CatalogueMerge::wants_page() const {
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].at == streams_[i].page.size() && !streams_[i].done) return i;
  }
  return std::nullopt;
}

Status CatalogueMerge::add_page(std::size_t member, wire::ListFilesReply page) {
  Stream& stream = streams_[member];
  for (const wire::FileSummary& file : page.files) {
    if (file.name <= stream.after)
      return Error{Errc::corrupt, "the list of files is out of order at " + file.name};
    stream.after = file.name;
  }
  // An empty page that is not the last one would be asked for for ever.
  stream.done = page.done || page.files.empty();
  stream.page = std::move(page.files);
  stream.at = 0;
  return {};
}

std::optional<CatalogueMerge::File> CatalogueMerge::next() {
  const std::string* least = nullptr;
  for (const Stream& stream : streams_) {
    if (stream.at == stream.page.size()) continue;
    const std::string& name = stream.page[stream.at].name;
    if (least == nullptr || name < *least) least = &name;
  }
  if (least == nullptr) return std::nullopt;
  File file;
  file.name = *least;
  file.copies.resize(streams_.size());
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    Stream& stream = streams_[i];
    if (stream.at == stream.page.size() || stream.page[stream.at].name != file.name) continue;
    file.copies[i] = copy_state(stream.page[stream.at]);
    ++stream.at;
  }
  return file;
}

} // namespace cairn::tools
