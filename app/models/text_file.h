#pragma once
#include <QString>

namespace lrc::app {

/// A file that is read into a message. `problem`: the sentence why it cannot be.
struct TextFile {
  QString text, problem;
};
/// UTF-8 text of at most 256 KiB: more than any context holds.
TextFile read_text_file(const QString& path);

}  // namespace lrc::app
