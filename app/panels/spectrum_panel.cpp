#include <QTimer>
#include <QVBoxLayout>
#include <cmath>

#include "base/files.h"
#include "models/draft_edits.h"
#include "models/layer_lab.h"
#include "models/run_facts.h"
#include "models/spectrum_curves.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/plot_tools.h"
#include "panels/spectrum_plots.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

QString per_cent(double relative) { return format_error(relative) + QStringLiteral(" %"); }

class SpectrumPanel : public QWidget, public PlotHooks {
 public:
  SpectrumPanel(Workspace& workspace, QWidget* parent);

  DataTable dataTable() const override;
  int pixelOf(double x) const override { return int(std::lround(plots_->lower()->xAxis->coordToPixel(x))); }
  QString hoverText(const QPoint& pixel) const override;

 protected:
  void changeEvent(QEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void showEvent(QShowEvent* event) override;

 private:
  const LayerInfo& info(int layer) const { return workspace_.model()->layers()[std::size_t(layer)]; }
  QString title(int layer) const { return QString::fromStdString(short_name(info(layer))); }
  std::vector<int> layersToShow() const;
  void choose();   ///< the layers to show changed
  void request();  ///< asks for the next curve that is missing
  void rebuild();  ///< curves from memory
  void followDraft();
  void moveTo(int rank, int gesture);
  void update(int rank);  ///< lines, fill, readout at this rank
  void updateRows(int rank);
  void explain();
  QString measureText() const;

  Workspace& workspace_;
  TitleControls* controls_;
  SegmentSwitch* mode_;
  QToolButton *pin_, *as_table_;
  Notice* notice_;
  SpectrumPlots* plots_;
  PlotTwin* twin_;
  ReadoutRow* readout_;
  QWidget* rows_;
  QGridLayout* rows_grid_;
  std::vector<ShownLayer> shown_;
  bool only_worst_ = false;  ///< nothing is selected; the worst layer stands in
  std::vector<int> pinned_;
  int cell_rank_, cell_predicted_, cell_bound_, cell_same_, cell_cost_, cell_adds_, cell_captured_;
};

SpectrumPanel::SpectrumPanel(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  setObjectName("spectrumPanel");
  setWindowTitle(tr("Spectrum"));
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  mode_ = new SegmentSwitch(tr("Spectrum of"), this);
  mode_->setObjectName("spectrumMode");
  mode_->addSegment(0, tr("Error"), tr("Eigenvalues of the whitened error: what a branch of that rank can remove"));
  mode_->addSegment(1, tr("Weights W"), tr("Singular values of the weight and of its rounding error"));
  pin_ = new IconButton("pin", tr("Keep these layers while others are selected"), this);
  pin_->setObjectName("spectrumPin");
  pin_->setCheckable(true);
  as_table_ = new IconButton("table", tr("Show the numbers as a table"), this);
  as_table_->setObjectName("spectrumTableButton");
  as_table_->setCheckable(true);
  auto* export_button = new IconButton("export", tr("Export the plots"), this);
  export_button->setObjectName("spectrumExport");
  export_button->setPopupMode(QToolButton::InstantPopup);
  controls_->add(mode_);
  controls_->add(pin_);
  controls_->add(as_table_);
  controls_->add(export_button);
  layout->addWidget(controls_);

  notice_ = new Notice(this);
  notice_->button()->setObjectName("measureButton");
  layout->addWidget(notice_);

  plots_ = new SpectrumPlots(workspace_, this);
  plots_->hover_text = [this](const QPoint& pixel) { return hoverText(pixel); };
  twin_ = new PlotTwin(plots_, *this, "spectrumTable", this);
  layout->addWidget(twin_, 1);

  readout_ = new ReadoutRow(this);
  readout_->setObjectName("spectrumReadout");
  cell_rank_ = readout_->addCell(tr("rank"), "576 (100 %)");
  cell_predicted_ = readout_->addCell(tr("predicted"), QStringLiteral("≈ 0.00888 %"));
  cell_bound_ = readout_->addCell(tr("lower bound"), QStringLiteral("≥ 0.00888 %"));
  cell_same_ = readout_->addCell(tr("same codes"), "0.00888 %");
  cell_captured_ = readout_->addCell(tr("captured"), "100 %");
  cell_cost_ = readout_->addCell(tr("cost"), "+18.88 b/w");
  cell_adds_ = readout_->addCell(tr("adds"), "8.88 MB");
  // The panel may be narrower than all cells: those that matter least give way (resizeEvent).
  readout_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  layout->addWidget(readout_);
  rows_ = new QWidget(this);
  rows_->setObjectName("spectrumRows");
  rows_grid_ = new QGridLayout(rows_);
  rows_grid_->setContentsMargins(0, 0, 0, 0);
  rows_grid_->setHorizontalSpacing(16);
  rows_grid_->setVerticalSpacing(0);
  layout->addWidget(rows_);

  export_button->setMenu(make_export_menu(
      this, {plots_->upper(), plots_->lower()}, *this, "spectrum",
      [this] {
        return QString::fromStdString(workspace_.model() ? workspace_.model()->display_name() : "") + QStringLiteral(" · ") +
               workspace_.slotTitle(workspace_.slotB()) + QStringLiteral(" · ") +
               (shown_.empty() ? QString() : title(shown_.front().layer));
      },
      [this](bool shown) { plots_->showEstimates(shown); }));

  mode_->on_change = [this](int) { rebuild(); };
  connect(pin_, &QToolButton::toggled, this, [this](bool on) {
    pinned_ = on ? layersToShow() : std::vector<int>{};
    choose();
  });
  connect(as_table_, &QToolButton::toggled, this, [this](bool on) { twin_->showTable(on); });
  connect(plots_->cursor(), &RankCursor::moved, this, [this](int rank, int gesture) { moveTo(rank, gesture); });
  connect(&workspace_, &Workspace::modelOpened, this, [this] {
    pin_->setChecked(false);
    choose();
  });
  connect(&workspace_, &Workspace::modelClosed, this, [this] {
    pin_->setChecked(false);
    choose();
  });
  connect(&workspace_, &Workspace::selectionChanged, this, [this] { choose(); });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] { choose(); });
  connect(&workspace_, &Workspace::measuredChanged, this, [this] { choose(); });
  connect(&workspace_, &Workspace::spectrumReady, this, [this](int layer) {
    if (std::ranges::any_of(shown_, [layer](const ShownLayer& shown) { return shown.layer == layer; })) request();
  });
  const auto redraw = [this] {
    if (!shown_.empty() && std::ranges::all_of(shown_, [](const ShownLayer& shown) { return shown.spectrum != nullptr; })) rebuild();
  };
  connect(&LayerLab::of(workspace_), &LayerLab::solvedChanged, this, redraw);
  connect(&LayerLab::of(workspace_), &LayerLab::trialsChanged, this, [this, redraw](int layer) {
    if (shown_.size() == 1 && shown_.front().layer == layer) redraw();
  });
  connect(&workspace_, &Workspace::draftChanged, this, [this] { followDraft(); });
  choose();
}

std::vector<int> SpectrumPanel::layersToShow() const {
  if (!workspace_.hasModel()) return {};
  if (!pinned_.empty()) return pinned_;
  std::vector<int> layers = workspace_.selectedLayers();
  // The current layer leads: its shape sets the cost axis, its rank the cursor.
  const auto current = std::find(layers.begin(), layers.end(), workspace_.currentLayer());
  if (current != layers.end()) std::rotate(layers.begin(), current, current + 1);
  return layers;
}

void SpectrumPanel::choose() {
  std::vector<int> layers = layersToShow();
  only_worst_ = false;
  if (layers.empty() && workspace_.hasModel()) {
    if (const RunEntry* run = run_in(workspace_, workspace_.slotB()))
      if (const LayerRecord* worst = worst_layer(run->manifest))
        for (std::size_t i = 0; i < workspace_.model()->layers().size(); ++i)
          if (workspace_.model()->layers()[i].name == worst->name) {
            layers = {int(i)};
            only_worst_ = true;
          }
  }
  shown_.clear();
  for (const int layer : layers) shown_.push_back({layer, {}, nullptr});
  controls_->setContext(shown_.empty()      ? QString()
                        : shown_.size() > 1 ? tr("%1 layers").arg(shown_.size())
                                            : tr("%1  %2 × %3")
                                                  .arg(title(layers.front()))
                                                  .arg(format_count(info(layers.front()).out_features))
                                                  .arg(format_count(info(layers.front()).in_features)));
  plots_->fade();
  request();
}

void SpectrumPanel::request() {
  // One at a time: a newer request of the workspace replaces an older one.
  const Slot a = workspace_.slotA(), b = workspace_.slotB();
  for (ShownLayer& shown : shown_) {
    // What B has not solved (yet) is shown as measured, or by its weights.
    if (!shown.spectrum) shown.spectrum = workspace_.spectrum(shown.layer, workspace_.record(b, shown.layer) ? b : Slot{});
    if (!shown.spectrum) return explain();
    if (shown_.size() == 1 && a.run && !(a == b) && record_of(run_in(workspace_, a), info(shown.layer).name) && !shown.reference) {
      shown.reference = workspace_.spectrum(shown.layer, a);
      if (!shown.reference) return explain();
    }
  }
  rebuild();
}

void SpectrumPanel::rebuild() {
  explain();
  for (ShownLayer& shown : shown_) {
    try {
      shown.scheme = effective_scheme(workspace_.draft(), info(shown.layer));
    } catch (const Error&) {
      shown.scheme = {};  // the recipe panel says what is wrong with the draft
    }
    shown.prediction = shown_.size() == 1 ? prediction_of(workspace_, shown.layer) : std::nullopt;
  }
  plots_->draw(shown_, mode_->current() == 1);
  readout_->setVisible(shown_.size() == 1);
  rows_->setVisible(shown_.size() > 1);
  if (!shown_.empty()) update(int(shown_.front().scheme.rank));
  twin_->refresh();
}

void SpectrumPanel::explain() {
  if (!workspace_.hasModel()) return notice_->say(tr("Open a model to see where its error lives."));
  if (shown_.empty()) return notice_->say(tr("No layer is selected. Click one in the table or the map."));
  const auto loading = std::find_if(shown_.begin(), shown_.end(), [](const ShownLayer& shown) { return !shown.spectrum; });
  if (loading != shown_.end()) return notice_->say(tr("Reading the curves of %1…").arg(title(loading->layer)));
  const ShownLayer& first = shown_.front();
  if (first.spectrum->whitened_error.empty())
    return notice_->say(tr("Not measured yet: what activations add to the error needs one pass over the calibration text. Until then: the "
                           "singular values of the weights."),
                        Notice::Tone::warning, measureText(), [this] { workspace_.measure(); });
  for (const ShownLayer& shown : shown_)
    if (const auto rank = first_contradiction(*shown.spectrum))
      return notice_->say(
          tr("Numerical: at rank %1 of %2 the bound lies above the error of the same codes. A larger damping in the recipe repairs this.")
              .arg(*rank)
              .arg(title(shown.layer)),
          Notice::Tone::bad);
  if (const RunEntry* run = run_in(workspace_, workspace_.slotB())) {
    const Recipe &ran = run->manifest.recipe, &draft = workspace_.draft();
    if (!(ran.activation == draft.activation) || !same_transforms(ran, draft))
      return notice_->say(tr("These curves belong to #%1 (A%2%3); the draft has another activation scheme, rotation or smoothing. A run "
                             "shows its own curves.")
                              .arg(run->number)
                              .arg(ran.activation.bits)
                              .arg(ran.rotation.folded() || ran.rotation.r4 ? tr(", rotated") : QString()),
                          Notice::Tone::warning);
  }
  if (!find_method(first.scheme.method).uses_rank)
    return notice_->say(tr("%1 has no branch: drag to see what one would give.").arg(method_title(first.scheme.method)));
  if (only_worst_) return notice_->say(tr("Nothing is selected: %1 is the layer with the largest error.").arg(title(first.layer)));
  notice_->clear();
}

/// The pass also keeps what layers are solved from alone, where the disk has room.
QString SpectrumPanel::measureText() const {
  const std::uint64_t bytes = kept_bytes(*workspace_.model(), workspace_.draft().calibration_tokens);
  return bytes <= most_kept_bytes(cache_folder()) ? tr("Measure, keeps %1").arg(format_megabytes(bytes)) : tr("Measure");
}

void SpectrumPanel::followDraft() {
  if (shown_.empty()) return;
  for (ShownLayer& shown : shown_) {
    try {
      shown.scheme = effective_scheme(workspace_.draft(), info(shown.layer));
    } catch (const Error&) {
      return;  // the recipe panel says what is wrong with the draft
    }
  }
  explain();
  // Whether B says anything about the draft may have changed with it.
  if (shown_.size() == 1 && shown_.front().spectrum &&
      prediction_of(workspace_, shown_.front().layer).has_value() != shown_.front().prediction.has_value())
    return rebuild();
  if (find_method(shown_.front().scheme.method).uses_rank) update(int(shown_.front().scheme.rank));
}

void SpectrumPanel::moveTo(int rank, int gesture) {
  if (shown_.empty()) return;
  if (!find_method(shown_.front().scheme.method).uses_rank) return update(rank);  // a look at what a branch would give
  std::vector<int> layers;
  for (const ShownLayer& shown : shown_) layers.push_back(shown.layer);
  const Model& model = *workspace_.model();
  workspace_.editDraft(tr("Rank of %1 → %2").arg(QString::fromStdString(describe_layers(model, layers))).arg(rank),
                       with_rank(workspace_.draft(), model, layers, std::size_t(rank)), gesture);
  update(rank);
}

void SpectrumPanel::update(int rank) {
  plots_->moveTo(rank);
  rank = plots_->cursor()->rank();
  // Some layers' curves may still be on their way.
  if (shown_.empty() || std::any_of(shown_.begin(), shown_.end(), [](const ShownLayer& shown) { return !shown.spectrum; })) return;
  const ShownLayer& first = shown_.front();
  const LayerSpectrum& s = *first.spectrum;
  if (shown_.size() > 1) return updateRows(rank);
  const LayerInfo& layer = info(first.layer);
  const std::size_t r = std::size_t(rank);
  const QString dash = QStringLiteral("–");
  readout_->setValue(cell_rank_, QString("%1 (%2 %)").arg(rank).arg(qRound(100.0 * rank / std::max(1, plots_->cursor()->maximum()))),
                     tr("%1 % of min(in, out)").arg(100.0 * rank / std::max(1, plots_->cursor()->maximum()), 0, 'f', 2));
  const auto bound = value_at(s.lower_bound_by_rank, r), same = value_at(s.same_codes_by_rank, r), captured = captured_share(s, r);
  const double predicted = first.prediction ? predicted_at(s, first.prediction->factor, r).value_or(std::nan("")) : std::nan("");
  const bool is_predicted = !std::isnan(predicted);
  std::optional<double> solved;  // by B at this rank, or alone
  if (s.achieved_rank && *s.achieved_rank == r && s.achieved_loss_regularized) solved = *s.achieved_loss_regularized;
  for (const SolvedAlone* each : LayerLab::of(workspace_).solvedAtRanks(first.layer))
    if (each->scheme.rank == r) solved = each->record.loss_regularized;
  readout_->setName(cell_predicted_, solved ? tr("solved") : tr("predicted"));
  readout_->setItalic(cell_predicted_, !solved);
  readout_->setValue(
      cell_predicted_,
      solved         ? per_cent(*solved)
      : is_predicted ? QStringLiteral("≈ ") + per_cent(predicted)
                     : dash,
      solved         ? tr("Solved, regularised loss: %1 %").arg(100 * *solved, 0, 'g', 12)
      : is_predicted ? tr("Predicted: the bound times %1, the factor by which B missed it here; over this role %2 … %3. A run replaces it.")
                           .arg(first.prediction->factor, 0, 'f', 2)
                           .arg(first.prediction->low, 0, 'f', 2)
                           .arg(first.prediction->high, 0, 'f', 2)
                     : tr("Not known: B has not solved this layer with the draft’s other settings."));
  readout_->setValue(cell_bound_, bound ? QStringLiteral("≥ ") + per_cent(*bound) : dash,
                     bound ? tr("Bound, regularised loss: %1 %").arg(100 * *bound, 0, 'g', 12) : QString());
  readout_->setValue(cell_same_, same ? per_cent(*same) : dash,
                     same ? tr("Exact, regularised loss with B's codes: %1 %").arg(100 * *same, 0, 'g', 12) : QString());
  readout_->setValue(cell_captured_, captured ? QString("%1 %").arg(qRound(100 * *captured)) : dash);
  readout_->setValue(cell_cost_,
                     QString("+%1 b/w").arg(format_bits(factor_bits_per_weight(first.scheme, layer.out_features, layer.in_features, r))));
  readout_->setValue(cell_adds_,
                     QString("%1 MB").arg(factor_bytes(first.scheme, layer.out_features, layer.in_features, r) / 1e6, 0, 'f', 2));
  plots_->lower()->setAccessibleDescription(tr("Error against rank for %1: rank %2, bound %3, same codes %4")
                                                .arg(title(first.layer))
                                                .arg(rank)
                                                .arg(bound ? per_cent(*bound) : dash, same ? per_cent(*same) : dash) +
                                            (is_predicted && !solved ? tr(", predicted %1").arg(per_cent(predicted)) : QString()));
}

void SpectrumPanel::updateRows(int rank) {
  while (QLayoutItem* item = rows_grid_->takeAt(0)) {
    delete item->widget();
    delete item;
  }
  const QStringList headers = {tr("layer"), tr("rank"), tr("error of B"), tr("bound"), tr("same codes"), tr("cost"), tr("adds")};
  const auto put = [&](int row, int column, const QString& text, bool dim, const QColor& colour = {}) {
    auto* label = dim ? make_dim_label(text, rows_) : new QLabel(text, rows_);
    label->setFont(font_of_points(font(), 8, !dim && column == 0));
    if (colour.isValid()) {
      QPalette palette = label->palette();
      palette.setColor(QPalette::WindowText, colour);
      label->setPalette(palette);
    }
    rows_grid_->addWidget(label, row, column, column == 0 ? Qt::AlignLeft : Qt::AlignRight);
  };
  for (int column = 0; column < headers.size(); ++column) put(0, column, headers[column], true);
  std::vector<std::size_t> order(shown_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  const auto error_of = [&](std::size_t i) {
    const LayerRecord* record = record_of(b, info(shown_[i].layer).name);
    return record ? record->loss_regularized : -1.0;
  };
  if (shown_.size() > most_single_curves) {  // the worst three by name
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return error_of(x) > error_of(y); });
    order.resize(3);
  }
  const QString dash = QStringLiteral("–");
  for (int row = 0; row < int(order.size()); ++row) {
    const ShownLayer& shown = shown_[order[std::size_t(row)]];
    const LayerInfo& layer = info(shown.layer);
    const bool follows = pinned_.empty();
    const std::size_t r = follows && row == 0 && shown_.size() <= most_single_curves ? std::size_t(rank) : shown.scheme.rank;
    const LayerRecord* record = record_of(b, layer.name);
    const auto bound = value_at(shown.spectrum->lower_bound_by_rank, r), same = value_at(shown.spectrum->same_codes_by_rank, r);
    put(row + 1, 0, title(shown.layer), false,
        shown_.size() > most_single_curves ? QColor() : overlay_pen(order[std::size_t(row)]).color());
    put(row + 1, 1, record && record->rank != r ? QString("%1 → %2").arg(record->rank).arg(r) : QString::number(r), false);
    put(row + 1, 2, record ? per_cent(record->loss_regularized) : dash, false);
    put(row + 1, 3, bound ? QStringLiteral("≥ ") + per_cent(*bound) : dash, false);
    put(row + 1, 4, same ? per_cent(*same) : dash, false);
    put(row + 1, 5, QString("+%1 b/w").arg(format_bits(factor_bits_per_weight(shown.scheme, layer.out_features, layer.in_features, r))),
        false);
    put(row + 1, 6, QString("%1 MB").arg(factor_bytes(shown.scheme, layer.out_features, layer.in_features, r) / 1e6, 0, 'f', 2), false);
  }
}

QString SpectrumPanel::hoverText(const QPoint& pixel) const {
  if (shown_.size() != 1 || !shown_.front().spectrum) return {};
  const LayerSpectrum& s = *shown_.front().spectrum;
  const double x = plots_->lower()->xAxis->pixelToCoord(pixel.x());
  if (x < 0 || x > plots_->cursor()->maximum()) return {};
  const std::size_t rank = std::size_t(std::lround(x));
  QStringList lines = {tr("rank %1").arg(rank)};
  if (rank > 0 && rank <= s.whitened_error.size()) lines << tr("λ %1 % of ‖WX‖²").arg(100 * s.whitened_error[rank - 1], 0, 'g', 3);
  if (const auto share = captured_share(s, rank)) lines << tr("captured %1 %").arg(100 * *share, 0, 'f', 1);
  if (const auto bound = value_at(s.lower_bound_by_rank, rank)) lines << tr("bound ≥ %1 %").arg(format_error(*bound));
  if (const auto same = value_at(s.same_codes_by_rank, rank)) lines << tr("same codes %1 % (exact)").arg(format_error(*same));
  return lines.join('\n');
}

DataTable SpectrumPanel::dataTable() const {
  DataTable table;
  table.headers << tr("rank") << tr("cost, b/w");
  std::size_t length = 0;
  for (const ShownLayer& shown : shown_) {
    if (!shown.spectrum) continue;
    const QString name = shown_.size() > 1 ? ' ' + title(shown.layer) : QString();
    table.headers << tr("λ, % of ‖WX‖²") + name << tr("lower bound, %") + name << tr("same codes, %") + name << tr("σ of W") + name
                  << tr("σ of W − Ŵ") + name;
    length = std::max({length, shown.spectrum->lower_bound_by_rank.size(), shown.spectrum->weight.size() + 1});
  }
  for (std::size_t rank = 0; rank < length; ++rank) {
    QVariantList row = {int(rank), plots_->costPerRank() * double(rank)};
    const auto number = [](std::optional<double> value, double factor) { return value ? QVariant(*value * factor) : QVariant(); };
    const auto of_index = [&](const std::vector<double>& values) {
      return rank == 0 ? std::optional<double>() : value_at(values, rank - 1);
    };
    for (const ShownLayer& shown : shown_) {
      if (!shown.spectrum) continue;
      const LayerSpectrum& s = *shown.spectrum;
      row << number(of_index(s.whitened_error), 100) << number(value_at(s.lower_bound_by_rank, rank), 100)
          << number(value_at(s.same_codes_by_rank, rank), 100) << number(of_index(s.weight), 1) << number(of_index(s.weight_error), 1);
    }
    table.rows.push_back(row);
  }
  return table;
}

void SpectrumPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() != QEvent::PaletteChange) return;
  plots_->restyle();
  // Later: the rows of the readout are made anew, and Qt is walking through all widgets now.
  QTimer::singleShot(0, this, [this] {
    if (std::all_of(shown_.begin(), shown_.end(), [](const ShownLayer& shown) { return shown.spectrum != nullptr; })) rebuild();
  });
}

void SpectrumPanel::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  // A theme that changed while another perspective was shown.
  plots_->restyle();
  QTimer::singleShot(0, this, [this] {
    if (!shown_.empty() && std::all_of(shown_.begin(), shown_.end(), [](const ShownLayer& shown) { return shown.spectrum != nullptr; }))
      rebuild();
  });
}

void SpectrumPanel::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  readout_->setCellVisible(cell_captured_, width() >= 680);
  readout_->setCellVisible(cell_adds_, width() >= 600);
  readout_->setCellVisible(cell_same_, width() >= 510);
}

}  // namespace

QWidget* make_spectrum_panel(Workspace& workspace, QWidget* parent) { return new SpectrumPanel(workspace, parent); }

}  // namespace lrc::app
