#pragma once
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

}  // namespace lrc::app
