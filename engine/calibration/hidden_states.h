#pragma once
// The hidden states of all windows between two blocks: in memory, or in a file where they would not fit beside a large block.
#include <cstddef>
#include <filesystem>
#include <vector>

#include "backend/backend.h"

namespace lrc {

class HiddenStates {
 public:
  /// With a folder they are kept in a file there that has no name, so that nothing is left behind however the program ends.
  /// `backend` must outlive this.
  explicit HiddenStates(Backend& backend, std::filesystem::path spill_folder = {});
  ~HiddenStates();
  HiddenStates(HiddenStates&& other) noexcept;
  HiddenStates& operator=(HiddenStates&&) = delete;

  std::size_t size() const { return count_; }
  /// One more window, as long as those before. Throws Error(io) when the folder cannot hold it.
  void add(const Buffer& hidden);
  /// Of window w. In memory it is the very buffer that is kept, in a file a copy: what is changed in it goes back by put().
  Buffer get(std::size_t w) const;
  /// A buffer of its own in either case.
  Buffer copy(std::size_t w) const;
  void put(std::size_t w, const Buffer& hidden);

 private:
  bool spilled() const { return !folder_.empty(); }
  void open_file();
  void write(std::size_t w, const Buffer& hidden);
  [[noreturn]] void fail(const char* what, int error_number) const;

  Backend* backend_;
  std::filesystem::path folder_;
  std::vector<Buffer> buffers_;
  int file_ = -1;
  std::size_t count_ = 0, window_bytes_ = 0;
};

}  // namespace lrc
