#pragma once
// What an export will weigh: a bar split by part, a line for each part, the files with their sizes.
#include <QWidget>

#include "exporters/exporter.h"

namespace lrc::app {

class ExportSizes : public QWidget {
 public:
  explicit ExportSizes(QWidget* parent);
  void show_forecast(const ExportForecast& forecast);
  QSize sizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  int line() const { return fontMetrics().height() + 4; }
  ExportForecast forecast_;
};

}  // namespace lrc::app
