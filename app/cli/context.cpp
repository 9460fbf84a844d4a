#include "cli/context.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <thread>

namespace lrc::cli {
namespace {

std::string minutes(double seconds) {
  const long whole = std::lround(seconds);
  char text[32];
  std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  return text;
}

/// One line that is drawn over again.
class Bar {
 public:
  void operator()(const ProgressUpdate& u) {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (u.fraction < 1 && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    winsize size{};
    const int columns = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    std::string text(20, ' ');
    for (int i = 0; i < int(std::lround(u.fraction * 20)); ++i) text[std::size_t(i)] = '#';
    std::string line = "[" + text + "] " + std::to_string(int(u.fraction * 100)) + " %  " + u.stage + " " + std::to_string(u.done) + "/" +
                       std::to_string(u.total) + "  " + minutes(u.elapsed_s);
    if (u.remaining_s) line += "  " + minutes(*u.remaining_s) + " left";
    if (!u.layer.empty()) line += "  " + u.layer;
    if (int(line.size()) >= columns) line.resize(std::size_t(columns - 1));
    std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
    drawn_ = true;
  }
  ~Bar() {
    if (drawn_) std::fputc('\n', stderr);
  }
  Bar() = default;
  Bar(const Bar&) = delete;
  Bar& operator=(const Bar&) = delete;

 private:
  std::mutex mutex_;
  std::chrono::steady_clock::time_point last_{};
  bool drawn_ = false;
};

/// A line when the stage changes, and one every five seconds.
class Lines {
 public:
  void operator()(const ProgressUpdate& u) {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (u.stage == stage_ && now - last_ < std::chrono::seconds(5)) return;
    stage_ = u.stage;
    last_ = now;
    std::fprintf(stderr, "%3d %%  %s %zu/%zu  %s elapsed%s%s\n", int(u.fraction * 100), u.stage.c_str(), u.done, u.total,
                 minutes(u.elapsed_s).c_str(), u.remaining_s ? (", " + minutes(*u.remaining_s) + " left").c_str() : "",
                 u.layer.empty() ? "" : ("  " + u.layer).c_str());
  }

 private:
  std::mutex mutex_;
  std::string stage_;
  std::chrono::steady_clock::time_point last_{};
};

void json_line(const ProgressUpdate& u) {
  Json line = {{"stage", u.stage},       {"layer", u.layer},         {"done", u.done},        {"total", u.total},
               {"fraction", u.fraction}, {"elapsed_s", u.elapsed_s}, {"remaining_s", nullptr}};
  if (u.remaining_s) line["remaining_s"] = *u.remaining_s;
  std::fprintf(stderr, "%s\n", line.dump().c_str());
}

}  // namespace

std::unique_ptr<Progress> Context::make_progress() const {
  ProgressMode mode = progress_mode;
  if (mode == ProgressMode::automatic) mode = ::isatty(STDERR_FILENO) ? ProgressMode::bar : ProgressMode::lines;
  switch (mode) {
    case ProgressMode::bar:
      return std::make_unique<Progress>([bar = std::make_shared<Bar>()](const ProgressUpdate& u) { (*bar)(u); });
    case ProgressMode::lines:
      return std::make_unique<Progress>([lines = std::make_shared<Lines>()](const ProgressUpdate& u) { (*lines)(u); });
    case ProgressMode::json:
      return std::make_unique<Progress>(json_line);
    default:
      return std::make_unique<Progress>();
  }
}

void Context::print_json(const Json& value) const {
  if (json) std::cout << value.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl;
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  // Width in characters, not bytes: UTF-8 continuation bytes do not count.
  const auto width = [](const std::string& s) {
    return std::size_t(std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  };
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c >= widths.size()) widths.push_back(0);
      widths[c] = std::max(widths[c], width(row[c]));
    }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string pad(widths[c] - width(row[c]), ' ');
      line += (c == 0 ? row[c] + pad : "  " + pad + row[c]);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    std::cout << line << '\n';
  }
}

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}
std::string per_cent(double fraction, int decimals) { return fixed(fraction * 100, decimals) + " %"; }
std::string megabytes(std::uint64_t bytes) { return fixed(double(bytes) / 1e6, 1) + " MB"; }

std::stop_token stop_on_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  static std::stop_source source;
  std::thread([set] {
    for (int count = 0;; ++count) {
      int signal = 0;
      if (sigwait(&set, &signal) != 0) return;
      if (count > 0) ::_exit(130);
      source.request_stop();
    }
  }).detach();
  return source.get_token();
}

}  // namespace lrc::cli
