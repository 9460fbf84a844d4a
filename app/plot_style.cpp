#include "plot_style.h"

#include <qcustomplot.h>

#include <QApplication>
#include <QLocale>
#include <QToolTip>
#include <algorithm>
#include <array>
#include <cmath>

namespace lrc::app {

namespace {

bool dark_theme = false;

Colours light_colours() {
  Colours c;
  c.window = "#eceef0", c.base = "#ffffff", c.alternate = "#f7f8f9";
  c.text = "#1b1f24", c.dim = "#535c66", c.faint = "#6f7882";
  c.line = "#c9ced4", c.grid = "#e6e9ec";
  c.highlight = "#4a6888", c.selected_row = "#d5e0ec";
  c.a_fill = "#0072b2", c.a_text = "#00588c", c.b_fill = "#d55e00", c.b_text = "#a34700";
  c.ok = "#1a7037", c.warn = "#8f5000", c.bad = "#b3261e";
  c.ok_ground = "#e3f2e7", c.warn_ground = "#fbefd9", c.bad_ground = "#fbe4e2";
  c.override_mark = "#8a3d78", c.pending_mark = "#8f5000";
  c.codes = "#6f7d8c", c.scales = "#b3bcc6";
  return c;
}

Colours dark_colours() {
  Colours c;
  c.window = "#2a2c2f", c.base = "#1e2023", c.alternate = "#232528";
  c.text = "#dfe3e7", c.dim = "#b2bac2", c.faint = "#9098a1";
  c.line = "#45494e", c.grid = "#303338";
  c.highlight = "#4f7399", c.selected_row = "#33475c";
  c.a_fill = "#5db7ee", c.a_text = "#5db7ee", c.b_fill = "#ff9f5a", c.b_text = "#ff9f5a";
  c.ok = "#6fcf8e", c.warn = "#e9b25a", c.bad = "#ff8a80";
  c.ok_ground = "#22362a", c.warn_ground = "#3a3020", c.bad_ground = "#40292a";
  c.override_mark = "#dd9cce", c.pending_mark = "#e9b25a";
  c.codes = "#8896a5", c.scales = "#5a6570";
  return c;
}

QPalette palette_of(const Colours& c, bool dark) {
  QPalette p;
  const QColor button = dark ? QColor("#3a3d41") : QColor("#f4f5f6");
  p.setColor(QPalette::Window, c.window);
  p.setColor(QPalette::WindowText, c.text);
  p.setColor(QPalette::Base, c.base);
  p.setColor(QPalette::AlternateBase, c.alternate);
  p.setColor(QPalette::Text, c.text);
  p.setColor(QPalette::PlaceholderText, c.faint);
  p.setColor(QPalette::Button, button);
  p.setColor(QPalette::ButtonText, c.text);
  p.setColor(QPalette::BrightText, c.bad);
  p.setColor(QPalette::ToolTipBase, c.base);
  p.setColor(QPalette::ToolTipText, c.text);
  p.setColor(QPalette::Highlight, c.highlight);
  p.setColor(QPalette::HighlightedText, QColor("#ffffff"));
  p.setColor(QPalette::Link, c.a_text);
  p.setColor(dim_role, c.dim);
  p.setColor(QPalette::Light, dark ? QColor("#4a4e53") : QColor("#ffffff"));
  p.setColor(QPalette::Midlight, dark ? QColor("#3f4347") : QColor("#e2e5e8"));
  p.setColor(QPalette::Mid, c.line);
  p.setColor(QPalette::Dark, dark ? QColor("#18191b") : QColor("#a8aeb5"));
  p.setColor(QPalette::Shadow, dark ? QColor("#101113") : QColor("#7d858d"));
  for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, dim_role})
    p.setColor(QPalette::Disabled, role, c.faint);
  p.setColor(QPalette::Disabled, QPalette::Highlight, c.line);
  p.setColor(QPalette::Disabled, QPalette::HighlightedText, c.text);
  return p;
}

QString significant(double value, int digits) {
  if (value == 0) return "0";
  const int magnitude = int(std::floor(std::log10(std::abs(value))));
  int decimals = std::max(0, digits - 1 - magnitude);
  // 9.996 has magnitude 0 but rounds to 10.0.
  if (std::abs(value) + 0.5 * std::pow(10.0, -decimals) >= std::pow(10.0, magnitude + 1)) decimals = std::max(0, decimals - 1);
  return QString::number(value, 'f', decimals);
}

}  // namespace

bool is_dark() { return dark_theme; }

const Colours& colours() {
  static const Colours light = light_colours(), dark = dark_colours();
  return dark_theme ? dark : light;
}

void set_dark(bool dark) {
  dark_theme = dark;
  QApplication::setPalette(palette_of(colours(), dark));
  QToolTip::setPalette(QApplication::palette());
}

void style_plot(QCustomPlot& plot) {
  const Colours& c = colours();
  plot.setBackground(c.window);
  const QFont small = [&] {
    QFont font = QApplication::font();
    font.setPointSizeF(font.pointSizeF() * 8.0 / 9.0);
    return font;
  }();
  for (auto* rect : plot.axisRects()) {
    rect->setBackground(c.base);
    for (auto* axis : rect->axes()) {
      axis->setBasePen(QPen(c.line, 1));
      axis->setTickPen(QPen(c.line, 1));
      axis->setSubTickPen(QPen(c.line, 1));
      axis->setTickLabelColor(c.dim);
      axis->setLabelColor(c.dim);
      axis->setTickLabelFont(small);
      axis->setLabelFont(small);
      axis->setSelectedTickLabelColor(c.dim);
      axis->setSelectedLabelColor(c.dim);
      axis->grid()->setPen(QPen(c.grid, 1));
      axis->grid()->setSubGridPen(QPen(c.grid, 1, Qt::DotLine));
      axis->grid()->setZeroLinePen(QPen(c.line, 1));
    }
  }
  if (plot.legend) {
    plot.legend->setBrush(Qt::NoBrush);
    plot.legend->setBorderPen(Qt::NoPen);
    plot.legend->setTextColor(c.dim);
    plot.legend->setFont(small);
  }
}

namespace {

QString map_palette = QStringLiteral("viridis");

/// The anchors joined linearly, t = 0…1.
template <std::size_t count>
QColor between(const std::array<std::array<int, 3>, count>& anchors, double t) {
  t = std::isfinite(t) ? std::clamp(t, 0.0, 1.0) : 0.0;
  const double position = t * double(count - 1);
  const std::size_t index = std::min(std::size_t(position), count - 2);
  const double part = position - double(index);
  const auto mix = [&](std::size_t k) { return int(std::lround(anchors[index][k] * (1 - part) + anchors[index + 1][k] * part)); };
  return QColor(mix(0), mix(1), mix(2));
}

}  // namespace

QColor viridis(double t) {
  // Eleven anchors of the map, joined linearly: within 1 % of the table of 256.
  static constexpr std::array<std::array<int, 3>, 11> anchors = {{{68, 1, 84},
                                                                  {72, 36, 117},
                                                                  {65, 68, 135},
                                                                  {53, 95, 141},
                                                                  {42, 120, 142},
                                                                  {33, 145, 140},
                                                                  {34, 168, 132},
                                                                  {68, 191, 112},
                                                                  {122, 209, 81},
                                                                  {189, 223, 38},
                                                                  {253, 231, 37}}};
  return between(anchors, t);
}

QColor map_colour(double t) {
  // For eyes that tell blue from yellow alone, and for print.
  static constexpr std::array<std::array<int, 3>, 10> cividis = {{{0, 32, 77},
                                                                  {0, 51, 111},
                                                                  {57, 72, 107},
                                                                  {87, 92, 109},
                                                                  {112, 113, 115},
                                                                  {138, 135, 121},
                                                                  {166, 157, 117},
                                                                  {196, 181, 108},
                                                                  {228, 207, 91},
                                                                  {255, 234, 70}}};
  static constexpr std::array<std::array<int, 3>, 2> grey = {{{28, 28, 28}, {236, 236, 236}}};
  if (map_palette == "cividis") return between(cividis, t);
  if (map_palette == "grey") return between(grey, t);
  return viridis(t);
}

void set_map_palette(const QString& name) { map_palette = name; }

QString format_error(double relative) {
  if (!std::isfinite(relative)) return "–";
  const double percent = relative * 100;
  if (percent == 0) return "0";
  if (percent < 0.001) return "< 0.001";
  if (percent < 0.0995) return QString::number(percent, 'f', percent < 0.00995 ? 5 : 4);
  return significant(percent, 3);
}

QString format_kl(double nats) { return std::isfinite(nats) ? significant(nats, 3) : QString("–"); }

QString format_perplexity(double value) {
  if (!std::isfinite(value)) return "–";
  if (value < 1000) return QString::number(value, 'f', 2);
  const int exponent = int(std::floor(std::log10(value)));
  return QString("%1e%2").arg(QString::number(value / std::pow(10.0, exponent), 'f', 1)).arg(exponent);
}

QString format_bits(double bits_per_weight) {
  return std::isfinite(bits_per_weight) ? QString::number(bits_per_weight, 'f', 2) : QString("–");
}

QString format_megabytes(quint64 bytes) { return QString::number(double(bytes) / 1e6, 'f', 1) + " MB"; }

QString format_gibibytes(quint64 bytes) {
  const double gibibytes = double(bytes) / double(1ull << 30);
  if (gibibytes < 1) return QString::number(double(bytes) / double(1ull << 20), 'f', 1) + " MiB";
  return QString::number(gibibytes, 'f', 1) + " GiB";
}

QString format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "–";
  if (seconds < 5e-5) return QStringLiteral("0 s");  // also what is left of a clock's own error
  if (seconds < 9.95) return significant(seconds, 2) + " s";
  const auto whole = qlonglong(std::llround(seconds));
  if (whole < 60) return QString("%1 s").arg(whole);
  if (whole < 3600) return QString("%1:%2").arg(whole / 60).arg(whole % 60, 2, 10, QChar('0'));
  return QString("%1:%2:%3").arg(whole / 3600).arg(whole / 60 % 60, 2, 10, QChar('0')).arg(whole % 60, 2, 10, QChar('0'));
}

QString format_count(qulonglong count) {
  QString digits = QString::number(count);
  if (count < 10000) return digits;
  for (qsizetype position = digits.size() - 3; position > 0; position -= 3) digits.insert(position, QChar(0x2009));
  return digits;
}

QString format_change(double ratio_minus_one) {
  if (!std::isfinite(ratio_minus_one)) return "–";
  const QString number = QString::number(std::abs(ratio_minus_one) * 100, 'f', 1);
  return (ratio_minus_one < 0 ? QString(QChar(0x2212)) : QString("+")) + number + " %";
}

}  // namespace lrc::app
