// What the threads of a scanner write down: by the thousand, in one batch each.
#pragma once

#include "migrate/scanner.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cairn::migrate {

class Scanner::Writer {
public:
  explicit Writer(Scanner& scanner) : scanner_(scanner) {}

  Ledger::Batch& batch() { return batch_; }
  bool is_long() const { return batch_.size() >= kBatchMax; }
  Status flush_if_long() { return is_long() ? flush() : Status(); }
  Status flush() {
    if (scanner_.options_.tell) return {};
    CAIRN_RETURN_IF_ERROR(scanner_.ledger_.commit(batch_));
    const bool news = !batch_.empty();
    batch_ = {};
    if (news && scanner_.options_.on_work) scanner_.options_.on_work();
    return {};
  }
  void work(const std::string& path, WorkRow row, const std::optional<FileRow>& before) {
    ++scanner_.counters_.wanted;
    if (scanner_.options_.tell) {
      scanner_.options_.tell(path, row, before);
    } else {
      batch_.put_work(path, std::move(row));
    }
  }
  void scan(const std::string& path) {
    if (!scanner_.options_.tell) batch_.mark(Table::scans, path);
    found_.push_back(path);
  }
  std::vector<std::string>& found() { return found_; }

private:
  static constexpr std::size_t kBatchMax = 1000;

  Scanner& scanner_;
  Ledger::Batch batch_;
  std::vector<std::string> found_; // directories to be listed next
};

} // namespace cairn::migrate
