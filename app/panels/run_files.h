#pragma once
#include <QTableWidget>
#include <filesystem>

namespace lrc::app {

/// The files of a run's folder with their sizes.
class RunFiles : public QTableWidget {
  Q_OBJECT
 public:
  explicit RunFiles(QWidget* parent);
  void list(const std::filesystem::path& run_folder);
};

}  // namespace lrc::app
