#pragma once
// What stands around the layers' map and table: the colours of the map, the counts and the legend at the foot.
#include <QWidget>

namespace lrc::app {

/// The colours of maps from the lowest to the highest value, with both written beside it; nothing while there is no highest.
class ColourScale : public QWidget {
  Q_OBJECT
 public:
  explicit ColourScale(QWidget* parent);
  void show_range(const QString& low, const QString& high);
  QSize sizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QString low_, high_;
};

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
