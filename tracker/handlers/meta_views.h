// The tracker's LevelDB as the namespace reads it: each view is a snapshot.
#pragma once

#include "tracker/handlers/namespace_writer.h"
#include "tracker/log/meta_store.h"
#include "tracker/log/resident.h"

#include <functional>
#include <memory>

namespace cairn::tracker {

class MetaViews final : public StoreViews {
public:
  // `store` outlives the views.
  explicit MetaViews(const MetaStore& store) : store_(store) {}

  std::unique_ptr<KeyValueView> view() const override { return std::make_unique<View>(store_); }
  bool look_without_disk(const std::function<void()>& look) const override {
    const ResidentOnly only;
    look();
    return !only.missed();
  }

private:
  struct View final : KeyValueView {
    explicit View(const MetaStore& of) : store(of), snapshot(of) {}
    Result<std::optional<std::string>> get(std::string_view key) const override {
      auto value = store.get(key, &snapshot);
      if (value) return std::optional<std::string>(*std::move(value));
      if (value.code() == Errc::not_found) return std::optional<std::string>();
      return std::move(value).error();
    }
    Status scan(std::string_view prefix, std::string_view from, const OnRow& row) const override {
      return store.walk(prefix, from, row, &snapshot);
    }
    const MetaStore& store;
    MetaStore::Snapshot snapshot;
  };

  const MetaStore& store_;
};

} // namespace cairn::tracker
