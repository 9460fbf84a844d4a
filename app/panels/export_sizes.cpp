#include "panels/export_sizes.h"

#include <QPainter>

#include "plot_style.h"

namespace lrc::app {

namespace {

constexpr int bar_height = 12, swatch = 10;

QColor colour_of(std::size_t part, const std::string& what) {
  const Colours& c = colours();
  if (what.starts_with("factors")) return c.b_fill;  // the branch is B's, everywhere
  const QColor colours_of_parts[] = {c.codes, c.scales, QColor("#4b8f7a"), QColor("#8fb8ab"), c.dim, c.line};
  return colours_of_parts[part % 6];
}

}  // namespace

ExportSizes::ExportSizes(QWidget* parent) : QWidget(parent) {
  setObjectName("exportParts");
  setAccessibleName(tr("Size by part"));
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
}

void ExportSizes::show_forecast(const ExportForecast& forecast) {
  forecast_ = forecast;
  QStringList words;
  for (const auto& list : {forecast_.parts, forecast_.files})
    for (const ExportForecast::Part& part : list) words << QString::fromStdString(part.what) + ' ' + format_megabytes(part.bytes);
  setAccessibleDescription(words.join(", "));
  setToolTip(words.join('\n'));
  updateGeometry();
  update();
}

QSize ExportSizes::sizeHint() const { return {200, bar_height + 8 + line() * int(forecast_.parts.size() + forecast_.files.size()) + 8}; }

void ExportSizes::paintEvent(QPaintEvent*) {
  const double whole = double(forecast_.bytes());
  if (!(whole > 0)) return;
  QPainter painter(this);
  const Colours& c = colours();
  double x = 0;
  for (std::size_t i = 0; i < forecast_.parts.size(); ++i) {
    const double wide = double(forecast_.parts[i].bytes) / whole * width();
    painter.fillRect(QRectF(x, 0, std::max(1.0, wide - 1), bar_height), colour_of(i, forecast_.parts[i].what));
    x += wide;
  }
  int y = bar_height + 8;
  const auto row = [&](const QString& name, const QString& size, int left, Qt::TextElideMode elide) {
    const int size_width = painter.fontMetrics().horizontalAdvance(size);
    painter.setPen(c.text);
    painter.drawText(QRect(left, y, width() - left - size_width - 8, line()), Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(name, elide, width() - left - size_width - 8));
    painter.drawText(QRect(0, y, width(), line()), Qt::AlignRight | Qt::AlignVCenter, size);
    y += line();
  };
  for (std::size_t i = 0; i < forecast_.parts.size(); ++i) {
    painter.fillRect(0, y + (line() - swatch) / 2, swatch, swatch, colour_of(i, forecast_.parts[i].what));
    row(QString::fromStdString(forecast_.parts[i].what), format_megabytes(forecast_.parts[i].bytes), swatch + 6, Qt::ElideRight);
  }
  y += 4;
  painter.setPen(c.line);
  painter.drawLine(0, y - 2, width(), y - 2);
  for (const ExportForecast::Part& file : forecast_.files)
    row(QString::fromStdString(file.what), format_megabytes(file.bytes), 0, Qt::ElideMiddle);
}

}  // namespace lrc::app
