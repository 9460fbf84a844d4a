#pragma once
// Colours, pens and number formats of the whole window: the one place that plots, icons and delegates
// read them from, so that a change of theme reaches all.
#include <QColor>
#include <QPalette>
#include <QString>

class QCustomPlot;

namespace lrc::app {

struct Colours {
  QColor window, base, alternate, text, dim, faint, line, grid, highlight, selected_row;
  QColor a_fill, a_text, b_fill, b_text, ok, warn, bad, ok_ground, warn_ground, bad_ground, override_mark, pending_mark, codes, scales;
};
bool is_dark();
void set_dark(bool dark);  ///< gives the application its palette; no style sheet, which would cost every change of theme and row
/// Roles of the application's palette for text that is not plain: setForegroundRole() with them follows the theme by itself.
inline constexpr QPalette::ColorRole dim_role = QPalette::LinkVisited, bad_role = QPalette::BrightText;
const Colours& colours();            ///< of the theme in force
void style_plot(QCustomPlot& plot);  ///< background, axes, grid, fonts; call again when the theme changes

QColor viridis(double t);  ///< 0…1
/// The map's palette that the settings name ("viridis", "cividis", "grey"), 0…1.
QColor map_colour(double t);
void set_map_palette(const QString& name);

// Numbers as people read them.
QString format_error(double relative);    ///< 0.0892 → "8.92" (per cent)
QString format_kl(double nats);           ///< 3 significant
QString format_perplexity(double value);  ///< 2 decimals
QString format_bits(double bits_per_weight);
QString format_megabytes(quint64 bytes);        ///< "144.3 MB"
QString format_gibibytes(quint64 bytes);        ///< "1.4 GiB"
QString format_duration(double seconds);        ///< "0.24 s", "1:49"
QString format_count(qulonglong count);         ///< thin spaces from 10 000
QString format_change(double ratio_minus_one);  ///< "−17.8 %"

}  // namespace lrc::app
