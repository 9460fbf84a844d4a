#include "panels/run_files.h"

#include <QDir>
#include <QDirIterator>
#include <QHeaderView>
#include <QMap>

#include "plot_style.h"

namespace lrc::app {

namespace {

/// Manifests and small layers are far below a tenth of a megabyte.
QString size_text(quint64 bytes) {
  return bytes >= 100'000 ? format_megabytes(bytes) : QObject::tr("%1 kB").arg(double(bytes) / 1000, 0, 'f', 1);
}

}  // namespace

RunFiles::RunFiles(QWidget* parent) : QTableWidget(0, 2, parent) {
  setObjectName("runFiles");
  setAccessibleName(tr("Files of the run"));
  setHorizontalHeaderLabels({tr("File"), tr("Size")});
  horizontalHeader()->setSectionResizeMode(0, QHeaderView::Stretch);
  verticalHeader()->hide();
  verticalHeader()->setDefaultSectionSize(20);
  setEditTriggers(QAbstractItemView::NoEditTriggers);
  setSelectionBehavior(QAbstractItemView::SelectRows);
  setShowGrid(false);
  setTabKeyNavigation(false);
}

void RunFiles::list(const std::filesystem::path& run_folder) {
  const QDir folder(QString::fromStdString(run_folder.string()));
  setRowCount(0);
  QDirIterator item(folder.path(), QDir::Files, QDirIterator::Subdirectories);
  QMap<QString, qint64> found;
  while (item.hasNext()) {
    item.next();
    found.insert(folder.relativeFilePath(item.filePath()), item.fileInfo().size());
  }
  setRowCount(int(found.size()));
  int row = 0;
  for (auto file = found.constBegin(); file != found.constEnd(); ++file, ++row) {
    setItem(row, 0, new QTableWidgetItem(file.key()));
    auto* size = new QTableWidgetItem(size_text(quint64(file.value())));
    size->setTextAlignment(Qt::AlignRight | Qt::AlignVCenter);
    size->setToolTip(tr("%1 bytes").arg(format_count(qulonglong(file.value()))));
    setItem(row, 1, size);
  }
}

}  // namespace lrc::app
