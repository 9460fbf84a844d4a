#pragma once
// One finding of a preflight: icon, title, the sentence of consequence, and the button that mends it.
#include <QPushButton>
#include <QWidget>
#include <functional>

#include "exporters/exporter.h"

namespace lrc::app {

class CheckRow : public QWidget {
 public:
  CheckRow(const Check& check, const QString& cost, std::function<void()> fix, QWidget* parent);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  CheckStatus status_;
};

/// ✓, triangle or octagon in the colour of the state.
void draw_status(QPainter& painter, const QPointF& centre, CheckStatus status);

}  // namespace lrc::app
