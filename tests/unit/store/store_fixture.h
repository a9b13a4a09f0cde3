// A store with one store path and its binlog in a directory of their own.
#pragma once

#include "storage/store/store.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <utility>

namespace cairn::storage {

class StoreTest : public testing::Test {
protected:
  StoreTest() {
    config_.base_path = directory_.path() / "base";
    config_.group_name = "group1";
    config_.store_paths.push_back({directory_.path() / "p0", false});
    config_.store_path_count = 1;
    std::filesystem::create_directories(data());
    std::filesystem::create_directories(config_.base_path / "data");
  }

  // Starts, or stops and starts again.
  void open() {
    store_.reset();
    binlog_.reset();
    store_ = *Store::open(config_);
    store_->set_node_id(100);
    BinlogOptions options;
    options.durable = false;
    binlog_ = *Binlog::open(config_.base_path / "data" / "binlog", std::move(options));
    store_->attach(*binlog_);
  }

  std::filesystem::path data() const { return config_.store_paths[0].path / "data"; }

  TemporaryDirectory directory_;
  config::StorageConfig config_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Binlog> binlog_;
};

} // namespace cairn::storage
