#pragma once
// What all plots of the window share: readable logarithmic ticks, the table twin, export, markers.
#include <qcustomplot.h>

#include <QMenu>
#include <QStackedWidget>
#include <QTableWidget>
#include <functional>
#include <vector>

namespace lrc::app {

/// The numbers behind a plot, as a table: what "show as table", CSV and tests read. Cells are numbers at full precision or text.
struct DataTable {
  QStringList headers;  ///< with units
  std::vector<QVariantList> rows;
};
QString to_csv(const DataTable& table);

/// What a panel with a plot offers to the table twin and to tests.
class PlotHooks {
 public:
  virtual ~PlotHooks() = default;
  virtual DataTable dataTable() const = 0;
  virtual int pixelOf(double x) const = 0;                   ///< horizontal pixel of a value on the main plot's x axis
  virtual QString hoverText(const QPoint& pixel) const = 0;  ///< of the main plot; empty where nothing is near
};

/// A linear axis with a real minus sign.
class ReadableTicker : public QCPAxisTicker {
 protected:
  QString getTickLabel(double tick, const QLocale& locale, QChar format, int precision) override;
};

/// Ticks at 1, 2, 5 (or 1, 3, or 1) times powers of ten, whichever gives four to eight of them, written without exponents.
class ReadableLogTicker : public QCPAxisTickerLog {
 protected:
  QVector<double> createTickVector(double step, const QCPRange& range) override;
  QString getTickLabel(double tick, const QLocale& locale, QChar format, int precision) override;
};

/// A logarithmic axis with these ticks.
void make_logarithmic(QCPAxis& axis, const QString& label);
void make_linear(QCPAxis& axis, const QString& label);

/// Page 0 the plots, page 1 the same numbers as a table.
class PlotTwin : public QStackedWidget {
 public:
  PlotTwin(QWidget* plots, const PlotHooks& hooks, const QString& table_name, QWidget* parent);
  void showTable(bool table);
  void refresh();  ///< call when the numbers changed

 private:
  const PlotHooks& hooks_;
  QTableWidget* table_;
};

/// PNG 1×, 2×, 4×, SVG, PDF, CSV, copy image; plots are stacked in the order that `plots` gives when one is asked for. `caption` is
/// drawn under pictures; `show_estimates` hides what is only predicted while pictures and tables are made.
QMenu* make_export_menu(QWidget* parent, std::function<std::vector<QCustomPlot*>()> plots, const PlotHooks& hooks, const QString& base_name,
                        std::function<QString()> caption, std::function<void(bool)> show_estimates = {});
QImage picture_of(const std::vector<QCustomPlot*>& plots, double scale, const QString& caption);

enum class Marker { disc, diamond, square, triangle, tick };
QCPScatterStyle scatter(Marker marker, const QColor& colour, double size, bool filled = true);
/// Marker and colour of a method: LRC ◆, LQER ▲, GPTQ ●, RTN ■.
Marker marker_of(const std::string& method);
QColor colour_of(const std::string& method);

/// Text in the plot at data coordinates.
QCPItemText* add_text(QCustomPlot& plot, const QString& text, double x, double y, const QColor& colour, Qt::Alignment alignment);
/// Colours and dashes for overlays of several layers.
QPen overlay_pen(std::size_t index);

}  // namespace lrc::app
