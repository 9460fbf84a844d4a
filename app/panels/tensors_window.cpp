// A checkpoint as its tensors: for families that this program lacks, whose layers it cannot name.
#include "panels/tensors_window.h"

#include <qcustomplot.h>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QTableWidget>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"
#include "panels/plot_tools.h"
#include "plot_style.h"
#include "run/tensor_facts.h"
#include "workspace.h"

namespace lrc::app {

namespace {

class TensorsWindow : public QDialog {
 public:
  TensorsWindow(Workspace& workspace, const QString& path, QWidget* parent) : QDialog(parent), workspace_(workspace) {
    setObjectName("tensorsWindow");
    setAttribute(Qt::WA_DeleteOnClose);
    setWindowTitle(tr("Tensors of %1").arg(QFileInfo(path).fileName()));
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(12, 12, 12, 12);
    column->setSpacing(8);
    sentence_ = make_sentence("tensorsSentence", this);
    column->addWidget(sentence_);
    filter_ = new QLineEdit(this);
    filter_->setObjectName("tensorsFilter");
    filter_->setPlaceholderText(tr("Filter by name"));
    filter_->setAccessibleName(tr("Filter tensors by name"));
    column->addWidget(filter_);
    table_ = new QTableWidget(this);
    table_->setObjectName("tensorsTable");
    table_->setAccessibleName(tr("Tensors"));
    table_->setColumnCount(4);
    table_->setHorizontalHeaderLabels({tr("Tensor"), tr("Shape"), tr("Type"), tr("File")});
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(20);
    table_->setAlternatingRowColors(true);
    table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setSelectionMode(QAbstractItemView::SingleSelection);
    table_->horizontalHeader()->setSectionResizeMode(0, QHeaderView::Stretch);
    column->addWidget(table_, 3);
    facts_ = new QLabel(this);
    facts_->setObjectName("tensorFacts");
    facts_->setWordWrap(true);
    column->addWidget(facts_);
    auto* plots = new QHBoxLayout;
    plots->setSpacing(8);
    histogram_ = makePlot("tensorHistogram", tr("Distribution of the tensor’s values"));
    spectrum_ = makePlot("tensorSpectrum", tr("Singular values of the matrix"));
    plots->addWidget(histogram_);
    plots->addWidget(spectrum_);
    column->addLayout(plots, 2);
    connect(filter_, &QLineEdit::textChanged, this, [this](const QString& words) {
      for (int row = 0; row < table_->rowCount(); ++row)
        table_->setRowHidden(row, !table_->item(row, 0)->text().contains(words.trimmed(), Qt::CaseInsensitive));
    });
    connect(table_, &QTableWidget::currentCellChanged, this, [this](int row) { examine(row); });
    resize(820, 680);
    sentence_->setText(tr("Reading headers…"));
    workspace_.queryLane().submit<std::shared_ptr<const Checkpoint>>(
        "tensors", this, [file = path.toStdString()](Progress&, std::stop_token) { return open_checkpoint(file); },
        [this](std::shared_ptr<const Checkpoint> checkpoint) { take(std::move(checkpoint)); },
        [this](const Error& error) { sentence_->setText(QString::fromUtf8(error.what()).toHtmlEscaped()); });
  }

 private:
  QCustomPlot* makePlot(const char* name, const QString& title) {
    auto* plot = new QCustomPlot(this);
    plot->setObjectName(name);
    plot->setAccessibleName(title);
    plot->setMinimumSize(160, 120);
    style_plot(*plot);
    return plot;
  }

  void take(std::shared_ptr<const Checkpoint> checkpoint) {
    checkpoint_ = std::move(checkpoint);
    const auto& tensors = checkpoint_->tensors();
    qulonglong values = 0;
    table_->setRowCount(int(tensors.size()));
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const TensorInfo& tensor = tensors[i];
      values += tensor.elements();
      QStringList shape;
      for (const std::size_t side : tensor.shape) shape << format_count(side);
      const QString cells[] = {QString::fromStdString(tensor.name), shape.join(QStringLiteral(" × ")),
                               QString::fromUtf8(name(tensor.dtype).data(), qsizetype(name(tensor.dtype).size())),
                               QString::fromStdString(tensor.file_name)};
      for (int c = 0; c < 4; ++c) table_->setItem(int(i), c, new QTableWidgetItem(cells[c]));
    }
    table_->resizeColumnsToContents();
    table_->horizontalHeader()->setSectionResizeMode(0, QHeaderView::Stretch);
    sentence_->setText(
        tr("<b>%1</b> tensors, %2 values. Choose one to see how its values are spread.").arg(tensors.size()).arg(format_count(values)));
    if (!tensors.empty()) table_->setCurrentCell(0, 0);
  }

  void examine(int row) {
    if (!checkpoint_ || row < 0) return;
    facts_->setText(tr("Reading…"));
    workspace_.queryLane().submit<TensorFacts>(
        "tensor", this,
        [checkpoint = checkpoint_, tensor = checkpoint_->tensors()[std::size_t(row)]](Progress&, std::stop_token) {
          return tensor_facts(*checkpoint, tensor);
        },
        [this](TensorFacts facts) { show_facts(facts); }, [this](const Error& error) { facts_->setText(QString::fromUtf8(error.what())); });
  }

  void show_facts(const TensorFacts& facts) {
    const auto number = [](double value) { return QString::number(value, 'g', 4).replace('-', QStringLiteral("−")); };
    QString text =
        tr("from %1 to %2, mean %3, rms %4, %5 zeros")
            .arg(number(facts.smallest), number(facts.largest), number(facts.mean), number(facts.rms), format_count(facts.zeros));
    if (!facts.whole) text += tr("; of the first %1 values").arg(format_count(facts.values));
    facts_->setText(text);
    const auto draw = [](QCustomPlot& plot, const QVector<double>& x, const QVector<double>& y, QCPGraph::LineStyle style, double low) {
      style_plot(plot);
      plot.clearPlottables();
      QCPGraph* graph = plot.addGraph();
      graph->setLineStyle(style);
      graph->setPen(QPen(colours().b_fill, 1.5));
      graph->setData(x, y, true);
      if (x.isEmpty()) return plot.replot(QCustomPlot::rpQueuedReplot);
      plot.xAxis->setRange(x.front(), x.back() > x.front() ? x.back() : x.front() + 1);
      const double high = *std::max_element(y.begin(), y.end());
      plot.yAxis->setRange(std::max(low, *std::min_element(y.begin(), y.end()) / 1.5), std::max(high * 1.5, 2 * low));
      plot.replot(QCustomPlot::rpQueuedReplot);
    };
    QVector<double> x, y;
    for (std::size_t i = 0; i < facts.shares.size(); ++i) {
      x.push_back(facts.lowest + (double(i) + 0.5) * facts.bin_width);
      y.push_back(std::max(facts.shares[i], 1e-6));
    }
    make_logarithmic(*histogram_->yAxis, tr("share"));
    make_linear(*histogram_->xAxis, tr("value ÷ rms"));
    draw(*histogram_, x, y, QCPGraph::lsStepCenter, 1e-6);
    x.clear();
    y.clear();
    const double first = facts.singular_values.empty() ? 0 : facts.singular_values.front();
    for (std::size_t i = 0; i < facts.singular_values.size(); ++i) {
      x.push_back(double(i + 1));
      y.push_back(std::max(facts.singular_values[i], first * 1e-6));
    }
    make_logarithmic(*spectrum_->yAxis, tr("singular value"));
    make_linear(*spectrum_->xAxis, tr("index"));
    draw(*spectrum_, x, y, QCPGraph::lsLine, first * 1e-6);
    spectrum_->setVisible(!facts.singular_values.empty());
  }

  Workspace& workspace_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  QLabel *sentence_, *facts_;
  QLineEdit* filter_;
  QTableWidget* table_;
  QCustomPlot *histogram_, *spectrum_;
};

}  // namespace

QDialog* make_tensors_window(Workspace& workspace, const QString& path, QWidget* parent) {
  return new TensorsWindow(workspace, path, parent);
}

}  // namespace lrc::app
