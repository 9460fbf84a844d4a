#include "panels/plot_tools.h"

#include <QApplication>
#include <QClipboard>
#include <QFileDialog>
#include <QHeaderView>
#include <QSvgGenerator>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

QString cell_text(const QVariant& value) {
  if (value.isNull()) return QStringLiteral("–");
  if (value.typeId() == QMetaType::Double) return QString::number(value.toDouble(), 'g', 6).replace('-', QStringLiteral("−"));
  return value.toString();
}

QString csv_field(const QVariant& value) {
  if (value.isNull()) return {};
  if (value.typeId() == QMetaType::Double) return QString::number(value.toDouble(), 'g', 17);
  QString text = value.toString();
  if (text.contains(QRegularExpression("[\",\n]"))) text = '"' + text.replace('"', "\"\"") + '"';
  return text;
}

}  // namespace

QString to_csv(const DataTable& table) {
  QString out;
  QStringList fields;
  for (const QString& header : table.headers) fields << csv_field(header);
  out += fields.join(',') + '\n';
  for (const QVariantList& row : table.rows) {
    fields.clear();
    for (const QVariant& value : row) fields << csv_field(value);
    out += fields.join(',') + '\n';
  }
  return out;
}

QVector<double> ReadableLogTicker::createTickVector(double, const QCPRange& range) {
  QVector<double> ticks;
  if (!(range.lower > 0) || !(range.upper > range.lower)) return ticks;
  static const std::vector<std::vector<double>> choices = {
      {1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1.5, 2, 3, 4, 6, 8}, {1, 2, 3, 5}, {1, 2, 5}, {1, 3}, {1}};
  const int low = int(std::floor(std::log10(range.lower))), high = int(std::ceil(std::log10(range.upper)));
  for (const auto& mantissas : choices) {
    ticks.clear();
    for (int exponent = low; exponent <= high; ++exponent)
      for (const double mantissa : mantissas) {
        const double tick = mantissa * std::pow(10.0, exponent);
        if (tick >= range.lower * 0.999 && tick <= range.upper * 1.001) ticks.push_back(tick);
      }
    if (ticks.size() <= 6) break;
  }
  while (ticks.size() > 8) {  // many decades: every second power
    QVector<double> fewer;
    for (int i = 0; i < ticks.size(); i += 2) fewer.push_back(ticks[i]);
    ticks = fewer;
  }
  if (ticks.size() < 2) {  // a range inside one step: as on a linear axis
    QCPAxisTicker plain;
    const double span = range.upper - range.lower,
                 step = std::pow(10.0, std::floor(std::log10(span))) / (span < 2 * std::pow(10.0, std::floor(std::log10(span))) ? 2 : 1);
    ticks.clear();
    for (double tick = std::ceil(range.lower / step) * step; tick <= range.upper && ticks.size() < 8; tick += step) ticks.push_back(tick);
  }
  return ticks;
}

QString ReadableLogTicker::getTickLabel(double tick, const QLocale&, QChar, int) {
  if (tick >= 1e6 || tick < 1e-5) {
    const int exponent = int(std::lround(std::log10(tick)));
    return QString("10^%1").arg(exponent).replace("-", QStringLiteral("−"));
  }
  return QString::number(tick, 'g', 3).contains('e') ? QString::number(tick, 'f', 5).remove(QRegularExpression("\\.?0+$"))
                                                     : QString::number(tick, 'g', 3);
}

QString ReadableTicker::getTickLabel(double tick, const QLocale& locale, QChar format, int precision) {
  return QCPAxisTicker::getTickLabel(tick, locale, format, precision).replace('-', QStringLiteral("−"));
}

void make_logarithmic(QCPAxis& axis, const QString& label) {
  axis.setScaleType(QCPAxis::stLogarithmic);
  axis.setTicker(QSharedPointer<ReadableLogTicker>::create());
  axis.setNumberFormat("gb");
  axis.setLabel(label);
}

void make_linear(QCPAxis& axis, const QString& label) {
  axis.setScaleType(QCPAxis::stLinear);
  axis.setTicker(QSharedPointer<ReadableTicker>::create());
  axis.setNumberFormat("gb");
  axis.setLabel(label);
}

PlotTwin::PlotTwin(QWidget* plots, const PlotHooks& hooks, const QString& table_name, QWidget* parent)
    : QStackedWidget(parent), hooks_(hooks) {
  addWidget(plots);
  table_ = new QTableWidget(this);
  table_->setObjectName(table_name);
  table_->setAccessibleName(tr("The numbers of the plot as a table"));
  table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table_->setAlternatingRowColors(true);
  table_->verticalHeader()->hide();
  table_->verticalHeader()->setDefaultSectionSize(20);
  // It scrolls: a page need not be as high as it would like to be.
  table_->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Ignored);
  addWidget(table_);
}

void PlotTwin::showTable(bool table) {
  setCurrentIndex(table ? 1 : 0);
  refresh();
}

void PlotTwin::refresh() {
  if (currentIndex() != 1) return;
  const DataTable numbers = hooks_.dataTable();
  table_->clear();
  table_->setColumnCount(int(numbers.headers.size()));
  table_->setRowCount(int(numbers.rows.size()));
  table_->setHorizontalHeaderLabels(numbers.headers);
  for (int row = 0; row < int(numbers.rows.size()); ++row)
    for (int column = 0; column < numbers.rows[std::size_t(row)].size(); ++column) {
      const QVariant& value = numbers.rows[std::size_t(row)][column];
      auto* item = new QTableWidgetItem(cell_text(value));
      item->setToolTip(csv_field(value));
      if (value.typeId() != QMetaType::QString) item->setTextAlignment(Qt::AlignRight | Qt::AlignVCenter);
      table_->setItem(row, column, item);
    }
  table_->resizeColumnsToContents();
}

QImage picture_of(const std::vector<QCustomPlot*>& plots, double scale, const QString& caption) {
  int width = 0, height = 0;
  for (QCustomPlot* plot : plots) {
    width = std::max(width, plot->width());
    height += plot->height();
  }
  const int caption_height = caption.isEmpty() ? 0 : 20;
  QImage image(QSize(width, height + caption_height) * scale, QImage::Format_ARGB32_Premultiplied);
  image.fill(colours().base);
  QPainter painter(&image);
  int y = 0;
  for (QCustomPlot* plot : plots) {
    painter.drawPixmap(QPointF(0, y * scale), plot->toPixmap(plot->width(), plot->height(), scale));
    y += plot->height();
  }
  painter.scale(scale, scale);
  painter.setPen(colours().dim);
  painter.drawText(QRect(8, y, width - 16, caption_height), Qt::AlignVCenter, caption);
  return image;
}

namespace {

void paint_all(QPaintDevice& device, const std::vector<QCustomPlot*>& plots, const QString& caption) {
  QCPPainter painter;
  painter.begin(&device);
  painter.setMode(QCPPainter::pmVectorized);
  painter.setMode(QCPPainter::pmNoCaching);
  for (QCustomPlot* plot : plots) {
    plot->toPainter(&painter, plot->width(), plot->height());
    painter.translate(0, plot->height());
  }
  painter.setPen(colours().dim);
  painter.drawText(QPointF(8, 14), caption);
  painter.end();
}

void save_as(QWidget* parent, const std::vector<QCustomPlot*>& plots, const PlotHooks& hooks, const QString& base_name, const QString& kind,
             double scale, const QString& caption) {
  const QString file = QFileDialog::getSaveFileName(parent, QObject::tr("Save plot"), base_name + '.' + kind);
  if (file.isEmpty()) return;
  QString problem;
  int width = 0, height = caption.isEmpty() ? 0 : 20;
  for (QCustomPlot* plot : plots) {
    width = std::max(width, plot->width());
    height += plot->height();
  }
  if (kind == "csv") {
    try {
      write_file_atomically(file.toStdString(), to_csv(hooks.dataTable()).toStdString());
    } catch (const Error& error) {
      problem = QString::fromUtf8(error.what());
    }
  } else if (kind == "png") {
    if (!picture_of(plots, scale, caption).save(file)) problem = QObject::tr("%1 could not be written.").arg(file);
  } else if (kind == "svg") {
    QSvgGenerator generator;
    generator.setFileName(file);
    generator.setSize({width, height});
    generator.setViewBox(QRect(0, 0, width, height));
    generator.setTitle(caption);
    paint_all(generator, plots, caption);
  } else {
    QPrinter printer(QPrinter::ScreenResolution);
    printer.setOutputFileName(file);
    printer.setOutputFormat(QPrinter::PdfFormat);
    printer.setFullPage(true);
    printer.setPageSize(QPageSize(QSizeF(width, height) * 0.75, QPageSize::Point));
    paint_all(printer, plots, caption);
  }
  if (!problem.isEmpty()) QToolTip::showText(QCursor::pos(), problem, parent);
}

}  // namespace

QMenu* make_export_menu(QWidget* parent, std::function<std::vector<QCustomPlot*>()> plots, const PlotHooks& hooks, const QString& base_name,
                        std::function<QString()> caption, std::function<void(bool)> show_estimates) {
  auto* menu = new QMenu(parent);
  const auto without_estimates = [show_estimates](auto make) {
    if (show_estimates) show_estimates(false);
    make();
    if (show_estimates) show_estimates(true);
  };
  const auto add = [&](const QString& text, const QString& kind, double scale) {
    QObject::connect(menu->addAction(text), &QAction::triggered, parent, [=, &hooks] {
      without_estimates([&] { save_as(parent, plots(), hooks, base_name, kind, scale, caption ? caption() : QString()); });
    });
  };
  add(QObject::tr("PNG, 1×…"), "png", 1);
  add(QObject::tr("PNG, 2×…"), "png", 2);
  add(QObject::tr("PNG, 4×…"), "png", 4);
  add(QObject::tr("SVG…"), "svg", 1);
  add(QObject::tr("PDF…"), "pdf", 1);
  add(QObject::tr("CSV…"), "csv", 1);
  menu->addSeparator();
  QObject::connect(menu->addAction(QObject::tr("Copy image")), &QAction::triggered, parent, [=] {
    without_estimates([&] { QApplication::clipboard()->setImage(picture_of(plots(), 2, caption ? caption() : QString())); });
  });
  QObject::connect(menu->addAction(QObject::tr("Copy numbers")), &QAction::triggered, parent,
                   [=, &hooks] { without_estimates([&] { QApplication::clipboard()->setText(to_csv(hooks.dataTable())); }); });
  return menu;
}

QCPScatterStyle scatter(Marker marker, const QColor& colour, double size, bool filled) {
  const QPen pen(colour, 1.3);
  const QBrush brush = filled ? QBrush(colour) : QBrush(colours().base);
  // Paths are drawn for a size of 6 pixels; QCustomPlot scales them.
  QPainterPath path;
  switch (marker) {
    case Marker::disc:
      return QCPScatterStyle(QCPScatterStyle::ssCircle, pen, brush, size);
    case Marker::square:
      return QCPScatterStyle(QCPScatterStyle::ssSquare, pen, brush, size);
    case Marker::tick:
      path.moveTo(-3, 0);
      path.lineTo(3, 0);
      return QCPScatterStyle(path, QPen(colour, 1.5), Qt::NoBrush, size);
    case Marker::triangle:
      path.addPolygon(QPolygonF() << QPointF(0, -3) << QPointF(3, 3) << QPointF(-3, 3));
      break;
    case Marker::diamond:
      path.addPolygon(QPolygonF() << QPointF(0, -3.6) << QPointF(3.6, 0) << QPointF(0, 3.6) << QPointF(-3.6, 0));
      break;
  }
  path.closeSubpath();
  return QCPScatterStyle(path, pen, brush, size);
}

Marker marker_of(const std::string& method) {
  if (method == "gptq") return Marker::disc;
  if (method == "rtn") return Marker::square;
  return method == "lrc" ? Marker::diamond : Marker::triangle;
}

QColor colour_of(const std::string& method) {
  if (method == "gptq") return colours().a_fill;
  if (method == "rtn") return colours().codes;
  return method == "lrc" ? colours().b_fill : colours().override_mark;
}

QCPItemText* add_text(QCustomPlot& plot, const QString& text, double x, double y, const QColor& colour, Qt::Alignment alignment) {
  auto* item = new QCPItemText(&plot);
  item->position->setCoords(x, y);
  item->setPositionAlignment(alignment);
  item->setText(text);
  item->setColor(colour);
  item->setFont(font_of_points(plot.font(), 8));
  item->setPadding(QMargins(4, 1, 4, 1));
  item->setClipToAxisRect(false);
  item->setSelectable(false);
  return item;
}

QPen overlay_pen(std::size_t index) {
  const QColor series[] = {colours().b_fill, QColor("#009e73"), colours().override_mark, colours().a_fill};
  const Qt::PenStyle dashes[] = {Qt::SolidLine, Qt::DashLine, Qt::DotLine, Qt::DashDotLine};
  return QPen(series[index % 4], 1.6, dashes[(index / 4 + index) % 4]);
}

}  // namespace lrc::app
