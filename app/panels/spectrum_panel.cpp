#include "panels/spectrum_panel.h"

#include <QTimer>
#include <QVBoxLayout>
#include <utility>

#include "base/files.h"
#include "models/draft_edits.h"
#include "models/layer_lab.h"
#include "models/run_facts.h"
#include "models/spectrum_curves.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

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
      this,
      [this] {
        return std::vector{plots_->upper(), plots_->lower()};
      },
      *this, "spectrum",
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
  connect(&workspace_, &Workspace::measureProgress, this, [this] {
    if (std::exchange(measuring_, workspace_.measuring().has_value()) != workspace_.measuring().has_value()) explain();
  });
  connect(&workspace_, &Workspace::spectrumReady, this, [this](int layer) {
    if (std::ranges::any_of(shown_, [layer](const ShownLayer& shown) { return shown.layer == layer; })) request();
  });
  const auto redraw = [this] {
    if (!shown_.empty()) rebuild();
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
  // What is missing is on its way and asks again.
  if (std::ranges::any_of(shown_, [](const ShownLayer& shown) { return shown.spectrum == nullptr; })) return explain();
  for (ShownLayer& shown : shown_) {
    try {
      shown.scheme = effective_scheme(workspace_.draft(), info(shown.layer));
    } catch (const Error&) {
      shown.scheme = {};  // the recipe panel says what is wrong with the draft
    }
    shown.prediction = shown_.size() == 1 ? prediction_of(workspace_, shown.layer) : std::nullopt;
  }
  explain();
  plots_->draw(shown_, mode_->current() == 1);
  otherwise_drawn_ = measuredOtherwise();
  if (otherwise_drawn_) plots_->fade();
  readout_->setVisible(shown_.size() == 1);
  rows_->setVisible(shown_.size() > 1);
  if (!shown_.empty()) update(int(shown_.front().scheme.rank));
  twin_->refresh();
}

/// What the curves were measured with, where the draft has other activations for the first layer.
std::optional<ActivationScheme> SpectrumPanel::measuredOtherwise() const {
  if (shown_.empty() || !shown_.front().spectrum || shown_.front().spectrum->whitened_error.empty()) return {};
  const LayerInfo& layer = info(shown_.front().layer);
  const RunEntry* run = run_in(workspace_, workspace_.slotB());
  const bool of_run = run && workspace_.record(workspace_.slotB(), shown_.front().layer);
  Recipe recipe = of_run ? run->manifest.recipe : workspace_.draft();
  // A measuring pass quantizes the inputs of all layers as the whole model's recipe says.
  if (!of_run) recipe.overrides.clear();
  try {
    const ActivationScheme measured = effective_scheme(recipe, layer).activation;
    if (!(measured == effective_scheme(workspace_.draft(), layer).activation)) return measured;
  } catch (const Error&) {
    // The recipe panel says what is wrong with the draft.
  }
  return {};
}

void SpectrumPanel::explain() {
  if (!workspace_.hasModel()) return notice_->say(tr("Open a model to see where its error lives."));
  if (shown_.empty()) return notice_->say(tr("No layer is selected. Click one in the table or the map."));
  const auto loading = std::find_if(shown_.begin(), shown_.end(), [](const ShownLayer& shown) { return !shown.spectrum; });
  if (loading != shown_.end()) return notice_->say(tr("Reading the curves of %1…").arg(title(loading->layer)));
  const ShownLayer& first = shown_.front();
  if (first.spectrum->whitened_error.empty() && workspace_.measuring())
    return notice_->say(
        tr("Measuring: what activations add to the error is known when the calibration text has passed. Until then: the "
           "singular values of the weights."));
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
  if (const auto measured = measuredOtherwise())
    return notice_->say((measured->bits == first.scheme.activation.bits
                             ? tr("The draft quantizes the input of %1 otherwise than these curves were measured.").arg(title(first.layer))
                             : tr("These curves were measured for %1-bit activations; the draft has %2 bits for %3.")
                                   .arg(measured->bits)
                                   .arg(first.scheme.activation.bits)
                                   .arg(title(first.layer))) +
                            tr(" Shift+F5 solves it, a run shows its own curves."),
                        Notice::Tone::warning);
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
  if (measuredOtherwise() != otherwise_drawn_) return rebuild();
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

QWidget* make_spectrum_panel(Workspace& workspace, QWidget* parent) { return new SpectrumPanel(workspace, parent); }

}  // namespace lrc::app
