#pragma once
// The status bar: message, job, memory, device, log. Every item is a button; all texts elide, so that nothing here sets the
// window's minimum width.
#include <QAbstractButton>
#include <QStatusBar>

namespace lrc::app {

class Workspace;

/// Text, and a small bar where something is measured.
class StatusItem : public QAbstractButton {
  Q_OBJECT
 public:
  StatusItem(const QString& object_name, const QString& accessible_name, QWidget* parent);
  void say(const QString& text, double bar = -1);
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;
  void showEvent(QShowEvent* event) override;

 private:
  double bar_ = -1;
};

class StatusBar : public QStatusBar {
  Q_OBJECT
 public:
  StatusBar(Workspace& workspace, QWidget* parent);

 signals:
  void logAsked(bool warnings_only);
  void runAsked();
  void memoryAsked();
  void devicesAsked();

 private:
  void update_job();
  void update_memory();
  void update_device();
  Workspace& workspace_;
  StatusItem *message_, *job_, *memory_, *device_, *log_;
  int warnings_ = 0;
};

/// Resident bytes of this process, and the memory that it may use.
struct HostMemory {
  quint64 used = 0, total = 0;
};
HostMemory host_memory();

}  // namespace lrc::app
