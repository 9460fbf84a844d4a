#pragma once
// Why something could not be opened: what was read, what is wrong with it, and what most likely happened.
#include <QString>
#include <vector>

namespace lrc::app {

struct OpenReport {
  struct Line {
    bool fine = false;
    QString what, fact;  ///< "config.json", "LlamaForCausalLM, 30 blocks"
  };
  QString path, sentence;
  std::vector<Line> lines;
  QString cause;         ///< one or two sentences, with the way out
  QString text() const;  ///< for the clipboard
};

/// Reads headers again, one part at a time. `sentence` is what opening said.
OpenReport report_of(const QString& path, const QString& sentence);

}  // namespace lrc::app
