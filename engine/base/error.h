#pragma once
#include <stdexcept>
#include <string>

namespace lrc {

/// What went wrong, for code that has to decide; the sentence is for people.
enum class ErrorKind {
  bad_file,     ///< a file is damaged, truncated or contradicts itself
  bad_input,    ///< a value that the user chose cannot be used
  unsupported,  ///< valid, but this program lacks it
  not_found,    ///< a file, layer or tensor that is not there
  io,           ///< reading or writing failed (disk full, no permission)
  device,       ///< a compute device cannot be used
  device_lost,  ///< a compute device stopped working in the middle of work
  numerical,    ///< a factorization failed, NaN or infinity in data
  stopped,      ///< the user asked to stop; what was finished is kept
};

/// The one exception of the engine: a kind and one sentence that names the file, tensor or layer and what to do.
/// Caught at three borders only: the job queue of the window, main() of the command line, the runner.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& sentence) : std::runtime_error(sentence), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace lrc
