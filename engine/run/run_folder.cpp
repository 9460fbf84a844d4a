#include "run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace lrc {
namespace {

bool is_left_over(const std::filesystem::path& file) { return file.filename().string().find(".partial.") != std::string::npos; }

}  // namespace

std::string folder_name_of(const std::string& recipe_name) {
  std::string name;
  for (const char letter : recipe_name) {
    if ((letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9'))
      name += letter;
    else if (letter >= 'A' && letter <= 'Z')
      name += char(letter - 'A' + 'a');
    else if (!name.empty() && name.back() != '-')
      name += '-';
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name;
}

RunFolder::RunFolder(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code code;
  for (auto folder = std::filesystem::absolute(path_, code).lexically_normal(); folder.has_relative_path(); folder = folder.parent_path()) {
    if (std::filesystem::exists(folder, code)) break;
    if (folder.has_filename()) made_.push_back(folder);
  }
  std::filesystem::create_directories(path_, code);
  if (code)
    throw Error(ErrorKind::io,
                "The folder " + path_.string() + " cannot be made: " + code.message() + "; choose a place that you may write to.");
  if (::access(path_.c_str(), W_OK) != 0)
    throw Error(ErrorKind::io,
                "The folder " + path_.string() + " cannot be written: " + std::strerror(errno) + "; choose a place that you may write to.");
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ < 0) throw Error(ErrorKind::io, "The folder " + path_.string() + " cannot be opened: " + std::strerror(errno) + ".");
  // The lock goes with the process, however it ends. File systems without locks are used without.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor_);
    descriptor_ = -1;
    throw Error(ErrorKind::bad_input,
                "The run in " + path_.string() + " is being written by somebody else; wait for it or choose another folder.");
  }
}

RunFolder::~RunFolder() {
  for (const auto& folder : made_)
    if (::rmdir(folder.c_str()) != 0) break;  // something is in it
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool RunFolder::is_fresh() const {
  for (const auto& entry : std::filesystem::directory_iterator(path_))
    if (!is_left_over(entry.path())) return false;
  return true;
}

void RunFolder::remove_left_overs(const char* inner) const {
  std::vector<std::filesystem::path> files;
  std::error_code code;
  for (const auto& folder : {path_, path_ / inner})
    for (const auto& entry : std::filesystem::directory_iterator(folder, code))
      if (is_left_over(entry.path())) files.push_back(entry.path());
  for (const auto& file : files) std::filesystem::remove(file, code);
}

}  // namespace lrc
