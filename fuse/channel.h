// The way between libfuse and the kernel: reads questions and writes answers, and keeps the record
// of what is between the two. After the death of a worker its questions are answered with EIO, or
// asked again where nothing but an answer can come of that.
#pragma once

#include "fuse/record.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <sys/types.h>
#include <sys/uio.h>
#include <unordered_map>
#include <vector>

namespace cairn::fuse {

class Channel {
public:
  explicit Channel(Record& record);

  // What the kernel may believe wrongly now: of a question that was answered with EIO it is not
  // known whether it was done.
  struct Doubt {
    std::uint64_t node = 0; // of the kernel
    std::string name;       // in that directory; empty: the node itself
  };
  // Sees to the questions that a former worker left: tells their callers, or keeps them to be read
  // again. Called once, before anything is read. `fd` is the kernel's.
  std::vector<Doubt> take_over(int fd);

  // As read(2) of the kernel's descriptor, which does not block: what libfuse calls, on one thread.
  // EAGAIN also while there is no room to record another question; the kernel keeps what is not
  // read.
  ssize_t read(int fd, void* to, std::size_t size);
  // That was why the last read() answered EAGAIN. On the same thread.
  bool is_full() const { return full_; }
  // As writev(2) of it. Any thread.
  ssize_t write(int fd, const iovec* parts, int count);

private:
  // False: `request` gets no answer and is not kept.
  bool keep(std::uint32_t number);
  void release(std::uint64_t unique);
  void give_back(std::uint32_t number);
  std::size_t read_again(void* to);

  Record& record_;
  bool full_ = false; // of who reads
  std::mutex mutex_;  // guards what follows
  FreeSlots free_;
  std::unordered_map<std::uint64_t, std::uint32_t> slots_; // by the kernel's number
  std::deque<std::uint32_t> again_;                        // to be read once more
  bool init_again_ = false;    // the kernel's first question is, too: its answer is known
  std::uint64_t not_told_ = 0; // number of the question whose answer the kernel has already
};

} // namespace cairn::fuse
