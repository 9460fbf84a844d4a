#include "panels/help_table.h"

#include <QGridLayout>
#include <QKeyEvent>
#include <QLabel>
#include <QPushButton>
#include <QScrollArea>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "models/draft_edits.h"
#include "models/layer_lab.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

HelpTable::HelpTable(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  setObjectName("helpTable");
  setAccessibleName(tr("What would help"));
  setFocusPolicy(Qt::StrongFocus);
  setMinimumWidth(272);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  auto* scroll = new QScrollArea(this);
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->setWidgetResizable(true);
  scroll->setFocusPolicy(Qt::NoFocus);
  scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  auto* rows = new QWidget(scroll);
  auto* inside = new QVBoxLayout(rows);
  inside->setContentsMargins(0, 0, 4, 0);
  grid_ = new QGridLayout;
  grid_->setHorizontalSpacing(8);
  grid_->setVerticalSpacing(0);
  grid_->setColumnStretch(0, 1);
  inside->addLayout(grid_);
  remark_ = make_dim_label({}, rows);
  remark_->setObjectName("helpRemark");
  remark_->setWordWrap(true);
  inside->addWidget(remark_);
  walk_ = new QPushButton(tr("Work it out"), rows);
  walk_->setObjectName("helpWalk");
  walk_->hide();
  inside->addWidget(walk_, 0, Qt::AlignLeft);
  inside->addStretch(1);
  scroll->setWidget(rows);
  column->addWidget(scroll, 1);
  rest_.setSingleShot(true);
  rest_.setInterval(300);
  LayerLab& lab = LayerLab::of(workspace_);
  connect(&rest_, &QTimer::timeout, this, &HelpTable::ask);
  connect(walk_, &QPushButton::clicked, this, [this, &lab] { lab.tryVariants(layer_, true); });
  connect(&lab, &LayerLab::trialsChanged, this, [this](int layer) {
    if (layer == layer_) refresh();
  });
  connect(&workspace_, &Workspace::draftChanged, this, [this] {
    if (layer_ < 0) return;
    refresh();
    rest_.start();
  });
  connect(&workspace_, &Workspace::measuredChanged, this, [this] {
    if (layer_ >= 0) rest_.start();
  });
  refresh();
}

void HelpTable::setLayer(int layer) {
  if (layer == layer_) return;
  LayerLab::of(workspace_).stopTrying();
  layer_ = layer;
  rest_.stop();
  if (layer_ >= 0) rest_.start();
  refresh();
}

void HelpTable::ask() {
  // A run has the processor; its own layers come soon enough.
  if (layer_ >= 0 && !workspace_.runningRun()) LayerLab::of(workspace_).tryVariants(layer_, false);
  refresh();
}

void HelpTable::refresh() {
  clear_layout(*grid_);
  LayerLab& lab = LayerLab::of(workspace_);
  const LayerTrials* trials = layer_ < 0 ? nullptr : lab.trials(layer_);
  const auto trying = layer_ < 0 ? LayerLab::Trying::idle : lab.trying(layer_);
  const QFont small = font_of_points(font(), 8);
  const auto put = [&](int row, int cell, const QString& text, bool heading, Qt::Alignment alignment) {
    auto* label = heading && cell > 0 ? make_dim_label(text, this) : new QLabel(text, this);
    label->setFont(font_of_points(font(), heading && cell > 0 ? 8 : 9, heading && cell == 0));
    grid_->addWidget(label, row, cell, alignment | Qt::AlignVCenter);
    return label;
  };
  auto* heading = new ElidedLabel(tr("Would help"), Qt::ElideRight, this);
  heading->setFont(font_of_points(font(), 9, true));
  grid_->addWidget(heading, 0, 0);
  walk_->setVisible(trying == LayerLab::Trying::needs_walk);
  QString remark;
  if (trials) {
    put(0, 1, tr("error, %"), true, Qt::AlignRight);
    put(0, 2, tr("b/w"), true, Qt::AlignRight);
    int row = 1;
    for (const Suggestion& each : trials->suggestions) {
      const QString title = QString::fromStdString(each.title);
      // The click at the end of the row must never be cut: the words give way.
      auto* words = new ElidedLabel(title, Qt::ElideRight, this);
      words->setFont(font_of_points(font(), 9));
      grid_->addWidget(words, row, 0);
      QLabel* error = put(row, 1, (each.estimated ? QStringLiteral("≈ ") : QString()) + format_error(each.loss), false, Qt::AlignRight);
      QFont number = font_of_points(font(), 9, each.loss < trials->now.loss);
      number.setItalic(each.estimated);
      error->setFont(number);
      if (each.skip_first_positions)
        error->setToolTip(tr("Estimate on a sample: a run’s error over the positions that are left. There it is %1 % as things are, and "
                             "%2 % when position 0 is left out. Errors do not show what position 0 then loses: compare the KL of a run.")
                              .arg(format_error(each.elsewhere_now), format_error(each.elsewhere_loss)));
      else
        error->setToolTip(each.estimated
                              ? tr("Estimate: this layer’s %1 % times what the change does on a sample of the activations: %2 %")
                                    .arg(format_error(trials->now.loss))
                                    .arg(100 * each.loss, 0, 'g', 6)
                              : tr("Solved: %1 % instead of %2 %").arg(100 * each.loss, 0, 'g', 6).arg(format_error(trials->now.loss)));
      const double bits = each.bits_per_weight;
      put(row, 2,
          std::abs(bits) < 0.005 ? QStringLiteral("0")
                                 : (bits > 0 ? QStringLiteral("+") : QStringLiteral("−")) + format_bits(std::abs(bits)),
          false, Qt::AlignRight);
      const bool set = lab.isSet(layer_, each);
      auto* button = new QPushButton(set ? tr("set") : tr("Try"), this);
      button->setObjectName(QString("helpTry_%1").arg(row - 1));
      button->setEnabled(!set);
      button->setFont(small);
      button->setFixedHeight(20);
      button->setFixedWidth(QFontMetrics(small).horizontalAdvance("set  Try"));
      button->setAccessibleName(tr("Try %1, error %2 per cent").arg(title, format_error(each.loss)));
      button->setToolTip(each.skip_first_positions ? tr("Writes it into the draft, for the whole run")
                         : each.layers.size() > 1
                             ? tr("Writes it into the draft, for all %1 layers that read this input").arg(each.layers.size())
                             : tr("Writes it into the draft"));
      grid_->addWidget(button, row, 3);
      connect(button, &QPushButton::clicked, this, [this, each] {
        setFocus();  // the button goes away with its row; the keys stay here
        LayerLab::of(workspace_).take(layer_, each);
      });
      ++row;
    }
    remark = trying == LayerLab::Trying::working
                 ? tr("Trying activations…")
                 : tr("Now %1 %. Solved for this layer; ≈ from a sample.").arg(format_error(trials->now.loss));
  } else if (layer_ >= 0) {
    switch (trying) {
      case LayerLab::Trying::working:
        remark = tr("Trying variants of this layer…");
        break;
      case LayerLab::Trying::needs_walk:
        remark =
            tr("Not measured for this rotation, text and activation scheme: the model must be walked up to block %1 once, then it is kept.")
                .arg(workspace_.model()->layers()[std::size_t(layer_)].block);
        break;
      case LayerLab::Trying::failed:
        remark = lab.failure();
        break;
      case LayerLab::Trying::idle:
        remark = workspace_.runningRun() ? tr("Waits for the run under way.") : QString();
        break;
    }
  }
  remark_->setText(remark);
  remark_->setVisible(!remark.isEmpty());
}

void HelpTable::keyPressEvent(QKeyEvent* event) {
  const LayerTrials* trials = layer_ < 0 ? nullptr : LayerLab::of(workspace_).trials(layer_);
  if (event->key() == Qt::Key_T && event->modifiers() == Qt::NoModifier && trials) {
    const auto first =
        std::ranges::find_if(trials->suggestions, [&](const Suggestion& each) { return !LayerLab::of(workspace_).isSet(layer_, each); });
    if (first != trials->suggestions.end()) LayerLab::of(workspace_).take(layer_, Suggestion(*first));
    return;
  }
  QWidget::keyPressEvent(event);
}

}  // namespace lrc::app
