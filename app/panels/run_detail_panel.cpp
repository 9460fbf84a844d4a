#include <QClipboard>
#include <QDesktopServices>
#include <QGuiApplication>
#include <QLineEdit>
#include <QPlainTextEdit>
#include <QTabWidget>
#include <QTimer>
#include <QUrl>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <utility>

#include "models/draft_edits.h"
#include "models/run_facts.h"
#include "models/run_predictions.h"
#include "models/run_selection.h"
#include "models/run_stages.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/plot_tools.h"
#include "panels/run_files.h"
#include "panels/stage_bar.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

class RunDetailPanel : public QWidget, public PlotHooks {
 public:
  RunDetailPanel(Workspace& workspace, QWidget* parent);
  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(plot_->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override;

 protected:
  void changeEvent(QEvent* event) override;

 private:
  const RunEntry* run() const { return workspace_.findRun(selection_.current()); }
  void refresh();
  void showProgress();
  void drawLayers();
  int placeOf(const std::string& layer) const;  ///< in the model, from 1
  void listFiles();
  void writeLog();
  QString shortName(const std::string& layer) const;

  Workspace& workspace_;
  RunSelection& selection_;
  TitleControls* controls_;
  Notice* notice_;
  QTabWidget* tabs_;
  StageBar* stages_;
  QLabel *time_, *facts_;
  QCustomPlot* plot_;
  QCPGraph *solved_ = nullptr, *predicted_ = nullptr;
  RunPredictions predictions_;
  bool drawing_soon_ = false;
  QPlainTextEdit* log_;
  QLineEdit* command_;
  QPushButton *copy_, *folder_, *evaluate_;
  PlotTwin* twin_;
  RunFiles* files_;
  int drawn_run_ = 0;
  std::size_t drawn_layers_ = 0, logged_layers_ = 0;
  std::optional<Forecast> forecast_;
};

RunDetailPanel::RunDetailPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), selection_(RunSelection::of(workspace)) {
  setObjectName("runDetailPanel");
  setWindowTitle(tr("Run detail"));
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  evaluate_ = new QPushButton(tr("Evaluate"), this);
  evaluate_->setObjectName("runEvaluate");
  evaluate_->setToolTip(tr("Perplexity and divergence from the original on the test text"));
  controls_->add(evaluate_);
  auto* as_table = new IconButton("table", tr("Show the numbers as a table"), this);
  as_table->setObjectName("runTableButton");
  as_table->setCheckable(true);
  controls_->add(as_table);
  layout->addWidget(controls_);
  notice_ = new Notice(this);
  layout->addWidget(notice_);
  tabs_ = new QTabWidget(this);
  tabs_->setObjectName("runTabs");
  tabs_->setDocumentMode(true);
  time_ = new QLabel(tabs_);
  time_->setTextFormat(Qt::RichText);
  tabs_->setCornerWidget(time_);
  layout->addWidget(tabs_, 1);

  auto* progress = new QWidget(tabs_);
  auto* column = new QVBoxLayout(progress);
  column->setContentsMargins(0, 8, 0, 0);
  column->setSpacing(4);
  stages_ = new StageBar(progress);
  column->addWidget(stages_);
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  plot_ = new QCustomPlot(progress);
  plot_->setObjectName("runLivePlot");
  plot_->setAccessibleName(tr("Error of each solved layer"));
  plot_->setMinimumSize(160, 80);
  twin_ = new PlotTwin(plot_, *this, "runTable", progress);
  row->addWidget(twin_, 1);
  facts_ = new QLabel(progress);
  facts_->setTextFormat(Qt::RichText);
  facts_->setAlignment(Qt::AlignTop);
  facts_->setMinimumWidth(150);
  facts_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  row->addWidget(facts_);
  column->addLayout(row, 1);
  tabs_->addTab(progress, tr("Progress"));
  log_ = new QPlainTextEdit(tabs_);
  log_->setObjectName("runLog");
  log_->setAccessibleName(tr("What the run did, layer by layer"));
  log_->setReadOnly(true);
  log_->setLineWrapMode(QPlainTextEdit::NoWrap);
  QFont fixed = QFontDatabase::systemFont(QFontDatabase::FixedFont);
  fixed.setPointSizeF(font().pointSizeF());
  log_->setFont(fixed);
  tabs_->addTab(log_, tr("Log"));
  files_ = new RunFiles(tabs_);
  tabs_->addTab(files_, tr("Files"));

  auto* strip = new QHBoxLayout;
  strip->setSpacing(8);
  command_ = new QLineEdit(this);
  command_->setObjectName("runCommand");
  command_->setAccessibleName(tr("The command that does the same"));
  command_->setReadOnly(true);
  command_->setFont(fixed);
  copy_ = new QPushButton(tr("Copy"), this);
  copy_->setObjectName("runCopyCommand");
  folder_ = new QPushButton(tr("Open folder"), this);
  folder_->setObjectName("runOpenFolder");
  strip->addWidget(command_, 1);
  strip->addWidget(copy_);
  strip->addWidget(folder_);
  layout->addLayout(strip);
  layout->addStretch(0);  // takes the space while there is no run

  connect(as_table, &QToolButton::toggled, this, [this](bool on) {
    if (on) tabs_->setCurrentIndex(0);
    twin_->showTable(on);
  });
  connect(tabs_, &QTabWidget::currentChanged, this, [this] { listFiles(); });
  connect(copy_, &QPushButton::clicked, this, [this] { QGuiApplication::clipboard()->setText(command_->text()); });
  connect(folder_, &QPushButton::clicked, this, [this] {
    if (const RunEntry* shown = run()) QDesktopServices::openUrl(QUrl::fromLocalFile(QString::fromStdString(shown->folder.string())));
  });
  connect(evaluate_, &QPushButton::clicked, this, [this] {
    if (const RunEntry* shown = run()) workspace_.resumeRun(shown->number);
  });
  connect(plot_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 12), hoverText(event->pos()), plot_);
  });
  connect(&selection_, &RunSelection::changed, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::runsChanged, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::runProgress, this, [this](int number) {
    if (number == selection_.current()) showProgress();
  });
  connect(&workspace_, &Workspace::layerFinished, this, [this](int number, const QString&) {
    if (number != selection_.current()) return;
    drawLayers();
    writeLog();
  });
  connect(&workspace_, &Workspace::spectrumReady, this, [this](int layer) {
    // Curves come by the hundred: they are drawn together.
    if (!predictions_.take(workspace_, layer) || std::exchange(drawing_soon_, true)) return;
    QTimer::singleShot(100, this, [this] {
      drawing_soon_ = false;
      drawLayers();
    });
  });
  refresh();
}

/// Looked up only while the tab is in front.
void RunDetailPanel::listFiles() {
  if (const RunEntry* shown = run(); shown && tabs_->currentWidget() == files_) files_->list(shown->folder);
}

int RunDetailPanel::placeOf(const std::string& layer) const {
  const LayerInfo* info = workspace_.hasModel() ? workspace_.model()->find_layer(layer) : nullptr;
  return info ? int(info - workspace_.model()->layers().data()) + 1 : 0;
}

QString RunDetailPanel::shortName(const std::string& layer) const {
  const LayerInfo* info = workspace_.hasModel() ? workspace_.model()->find_layer(layer) : nullptr;
  return QString::fromStdString(info ? short_name(*info) : layer);
}

void RunDetailPanel::refresh() {
  const RunEntry* shown = run();
  tabs_->setVisible(shown != nullptr);
  command_->setVisible(shown != nullptr);
  copy_->setVisible(shown != nullptr);
  folder_->setVisible(shown != nullptr);
  evaluate_->setVisible(shown && shown->state == RunEntry::State::done && !shown->manifest.evaluation);
  if (shown == nullptr) {
    drawn_run_ = 0;
    predictions_.follow(workspace_, 0);
    controls_->setContext({});
    return notice_->say(workspace_.hasModel() ? tr("Select a run to see how it went. Run (F5) in the recipe starts one.")
                                              : tr("Open a model to start a run."));
  }
  controls_->setContext(QString("#%1  %2").arg(shown->number).arg(QString::fromStdString(shown->manifest.recipe.name)));
  if (shown->state == RunEntry::State::failed) {
    notice_->say(shown->failure, Notice::Tone::bad, tr("Resume"), [this, number = shown->number] { workspace_.resumeRun(number); });
  } else if (shown->state == RunEntry::State::stopped || shown->state == RunEntry::State::paused) {
    notice_->say(tr("%1 of %2 layers are saved; resuming goes on with the next.")
                     .arg(shown->manifest.layers.size())
                     .arg(shown->manifest.layers_total),
                 Notice::Tone::plain, tr("Resume"), [this, number = shown->number] { workspace_.resumeRun(number); });
  } else {
    notice_->clear();
  }
  command_->setText(workspace_.commandOf(*shown));
  command_->setCursorPosition(0);
  if (drawn_run_ != shown->number) {
    drawn_run_ = shown->number;
    drawn_layers_ = 0;
    logged_layers_ = 0;
    log_->clear();
    forecast_.reset();
    // Only what has not been measured needs a forecast.
    if (shown->state != RunEntry::State::done && workspace_.hasModel()) try {
        forecast_ = forecast(shown->manifest.recipe, *workspace_.model());
      } catch (const Error& error) {
        workspace_.log(LogLevel::warning, QString::fromUtf8(error.what()));
      }
  }
  showProgress();
  drawn_layers_ = 0;  // the theme or the records may have changed
  drawLayers();
  writeLog();
  listFiles();
}

void RunDetailPanel::showProgress() {
  const RunEntry* shown = run();
  if (shown == nullptr) return;
  const Manifest& manifest = shown->manifest;
  const ProgressUpdate& now = shown->progress;
  const bool running = shown->state == RunEntry::State::running;
  stages_->setStages(stages_of(*shown, forecast_));
  if (running)
    time_->setText(
        tr("%1 elapsed&nbsp;&nbsp; <b>%2</b>")
            .arg(format_duration(now.elapsed_s),
                 now.remaining_s
                     ? (now.stage == "evaluate" ? tr("%1 left") : tr("%1 left, then evaluation")).arg(format_duration(*now.remaining_s))
                     : QString()));
  else
    time_->setText(total_seconds(manifest) > 0 ? tr("%1 in all").arg(format_duration(total_seconds(manifest))) : QString());

  QStringList rows;
  const auto fact = [&](const QString& name, const QString& value) {
    rows << QString("<tr><td style='padding-right:8px'>%1</td><td align='right'><b>%2</b></td></tr>").arg(name, value);
  };
  if (running && !now.layer.empty()) rows << QString("<tr><td colspan='2'><b>%1</b></td></tr>").arg(shortName(now.layer).toHtmlEscaped());
  fact(tr("solved"), tr("%1 of %2").arg(manifest.layers.size()).arg(manifest.layers_total));
  if (const auto mean = mean_error(manifest)) fact(tr("mean error"), format_error(*mean) + " %");
  if (const LayerRecord* worst = worst_layer(manifest)) {
    fact(tr("worst error"), format_error(worst->loss) + " %");
    fact(tr("in"), shortName(worst->name).toHtmlEscaped());
  }
  if (manifest.bits_per_weight > 0) fact(tr("size"), format_bits(manifest.bits_per_weight) + " b/w");
  if (manifest.peak_memory_bytes > 0)
    fact(tr("peak"), format_gibibytes(manifest.peak_memory_bytes));
  else if (forecast_)
    fact(tr("peak"), QStringLiteral("≈ ") + format_gibibytes(forecast_->peak_memory_bytes));
  if (manifest.evaluation) {
    fact(tr("PPL"), format_perplexity(manifest.evaluation->perplexity));
    if (manifest.evaluation->kl) fact(tr("KL"), format_kl(manifest.evaluation->kl->mean));
  }
  facts_->setText("<table cellspacing='0' cellpadding='1'>" + rows.join("") + "</table>");
}

void RunDetailPanel::drawLayers() {
  const RunEntry* shown = run();
  if (shown == nullptr) return;
  const Colours& c = colours();
  const auto& layers = shown->manifest.layers;
  if (drawn_layers_ == 0 || drawn_layers_ > layers.size()) {
    style_plot(*plot_);
    plot_->clearPlottables();
    make_logarithmic(*plot_->yAxis, tr("error, %"));
    make_linear(*plot_->xAxis, tr("layer, in the order of the model"));
    plot_->xAxis->setRange(0, std::max<double>(1, double(shown->manifest.layers_total) + 1));
    predicted_ = plot_->addGraph();
    predicted_->setLineStyle(QCPGraph::lsNone);
    predicted_->setScatterStyle(scatter(marker_of(shown->manifest.recipe.method), c.b_fill, 6, false));
    solved_ = plot_->addGraph();
    solved_->setLineStyle(QCPGraph::lsNone);
    solved_->setScatterStyle(scatter(marker_of(shown->manifest.recipe.method), c.b_fill, 6));
    drawn_layers_ = 0;
  }
  for (; drawn_layers_ < layers.size(); ++drawn_layers_) {
    const LayerRecord& record = layers[drawn_layers_];
    if (record.loss > 0) solved_->addData(placeOf(record.name), 100 * record.loss);
  }
  predictions_.follow(workspace_, shown->number);
  predicted_->data()->clear();
  for (std::size_t layer = 0; layer < predictions_.losses().size(); ++layer)
    if (const auto& loss = predictions_.losses()[layer]; loss && *loss > 0) predicted_->addData(double(layer + 1), 100 * *loss);
  double low = qInf(), high = 0;
  for (const QCPGraph* graph : {solved_, predicted_})
    for (const QCPGraphData& point : *graph->data()) {
      low = std::min(low, point.value);
      high = std::max(high, point.value);
    }
  if (high > 0)
    plot_->yAxis->setRange(low / 1.4, high * 1.4);
  else
    plot_->yAxis->setRange(0.1, 10);
  plot_->setAccessibleDescription(tr("%1 layers solved, %2 predicted").arg(layers.size()).arg(predicted_->dataCount()));
  plot_->replot(QCustomPlot::rpQueuedReplot);
  twin_->refresh();
}

void RunDetailPanel::writeLog() {
  const RunEntry* shown = run();
  if (shown == nullptr) return;
  const auto& layers = shown->manifest.layers;
  if (logged_layers_ > layers.size()) {
    logged_layers_ = 0;
    log_->clear();
  }
  QStringList lines;
  for (; logged_layers_ < layers.size(); ++logged_layers_) {
    const LayerRecord& record = layers[logged_layers_];
    lines << QString("%1  %2  W%3A%4  rank %5  error %6 %  regularised %7 %, at least %8 %  %9")
                 .arg(shortName(record.name), -14)
                 .arg(QString::fromStdString(record.method), -5)
                 .arg(record.weight_bits)
                 .arg(record.activation_bits)
                 .arg(record.rank, 4)
                 .arg(format_error(record.loss), 6)
                 .arg(format_error(record.loss_regularized), 6)
                 .arg(format_error(record.lower_bound), 6)
                 .arg(format_duration(record.seconds));
  }
  if (!lines.isEmpty()) log_->appendPlainText(lines.join('\n'));
}

QString RunDetailPanel::hoverText(const QPoint& pixel) const {
  const RunEntry* shown = run();
  if (shown == nullptr || !plot_->axisRect()->rect().contains(pixel)) return {};
  const long place = std::lround(plot_->xAxis->pixelToCoord(pixel.x()));
  if (place < 1 || !workspace_.hasModel() || std::size_t(place) > workspace_.model()->layers().size()) return {};
  const std::string& name = workspace_.model()->layers()[std::size_t(place - 1)].name;
  QString text = shortName(name);
  if (const auto& predicted = predictions_.losses(); std::size_t(place) <= predicted.size() && predicted[std::size_t(place - 1)])
    text += '\n' + tr("≈ %1 % predicted").arg(format_error(*predicted[std::size_t(place - 1)]));
  const auto& layers = shown->manifest.layers;
  const auto record = std::ranges::find(layers, name, &LayerRecord::name);
  if (record == layers.end()) return text;
  return text + '\n' +
         tr("error %1 % (solved)\nbound ≥ %2 % (regularised loss)\nrank %3, %4")
             .arg(format_error(record->loss), format_error(record->lower_bound))
             .arg(record->rank)
             .arg(format_duration(record->seconds));
}

DataTable RunDetailPanel::dataTable() const {
  DataTable table;
  table.headers << tr("layer") << tr("rank") << tr("error, %") << tr("lower bound, %") << tr("seconds");
  if (const RunEntry* shown = run())
    for (const LayerRecord& record : shown->manifest.layers)
      table.rows.push_back({shortName(record.name), int(record.rank), 100 * record.loss, 100 * record.lower_bound, record.seconds});
  return table;
}

void RunDetailPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) refresh();
}

}  // namespace

QWidget* make_run_detail_panel(Workspace& workspace, QWidget* parent) { return new RunDetailPanel(workspace, parent); }

}  // namespace lrc::app
