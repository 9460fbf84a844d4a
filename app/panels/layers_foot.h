#pragma once
// The line below the layers' map and table.
#include <QWidget>

namespace lrc::app {

/// Counts, and the legend of the marks; the legend gives way, part by part, where the panel is narrow.
class LayersFoot : public QWidget {
  Q_OBJECT
 public:
  explicit LayersFoot(QWidget* parent);
  void say(const QString& counts, int overrides, int pending);
  QSize minimumSizeHint() const override { return {80, 20}; }

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QString counts_;
  int overrides_ = 0, pending_ = 0;
};

}  // namespace lrc::app
