#include "models/text_file.h"

#include <QCoreApplication>
#include <QFile>
#include <QFileInfo>
#include <QStringDecoder>

namespace lrc::app {

namespace {
constexpr qint64 longest = 256 * 1024;

QString tr(const char* text) { return QCoreApplication::translate("text_file", text); }
}  // namespace

TextFile read_text_file(const QString& path) {
  const QString name = QFileInfo(path).fileName();
  QFile file(path);
  if (!QFileInfo(path).isFile() || !file.open(QIODevice::ReadOnly)) return {{}, tr("%1 cannot be read.").arg(name)};
  const QByteArray bytes = file.read(longest + 1);
  if (bytes.size() > longest) return {{}, tr("%1 is longer than 256 KiB; paste the part that matters.").arg(name)};
  QStringDecoder utf8(QStringDecoder::Utf8);
  const QString text = utf8.decode(bytes);
  if (utf8.hasError() || text.contains(QChar(0))) return {{}, tr("%1 is no UTF-8 text.").arg(name)};
  return {text, {}};
}

}  // namespace lrc::app
