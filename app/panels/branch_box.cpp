#include "panels/branch_box.h"

#include <QKeyEvent>
#include <QPainter>
#include <QVBoxLayout>
#include <algorithm>

#include "plot_style.h"

namespace lrc::app {

namespace {
constexpr int label_width = 36;
}

MuteGrid::MuteGrid(QWidget* parent) : QWidget(parent) {
  setObjectName("branchMutes");
  setAccessibleName(tr("Branch of each block, attention and MLP"));
  setFocusPolicy(Qt::StrongFocus);
  setToolTip(tr("Click or Space mutes the branch of a block, Alt+click or S leaves only this one, dragging paints"));
  setFont(font_of_points(font(), 8));
  setFixedHeight(sizeHint().height());
}

void MuteGrid::setBlocks(int blocks) {
  for (auto& row : muted_) row.assign(std::size_t(blocks), false);
  focus_block_ = 0;
  update();
}

int MuteGrid::mutedCount() const {
  return int(std::count(muted_[0].begin(), muted_[0].end(), true) + std::count(muted_[1].begin(), muted_[1].end(), true));
}

void MuteGrid::clear() {
  if (mutedCount() == 0) return;
  for (auto& row : muted_) std::fill(row.begin(), row.end(), false);
  update();
  emit changed();
}

QRect MuteGrid::cell(int row, int block) const {
  const int blocks = std::max(1, int(muted_[0].size()));
  const double width = double(this->width() - label_width - 2) / blocks;
  const int left = label_width + int(width * block), right = label_width + int(width * (block + 1));
  return {left, 18 * row, std::max(2, right - left - 1), 16};
}

bool MuteGrid::cellAt(const QPoint& position, int& row, int& block) const {
  for (row = 0; row < 2; ++row)
    for (block = 0; block < int(muted_[0].size()); ++block)
      if (cell(row, block).adjusted(0, 0, 1, 1).contains(position)) return true;
  return false;
}

void MuteGrid::paintEvent(QPaintEvent*) {
  const Colours& c = colours();
  QPainter painter(this);
  for (int row = 0; row < 2; ++row) {
    painter.setPen(c.dim);
    painter.drawText(QRect(0, 18 * row, label_width - 6, 16), Qt::AlignRight | Qt::AlignVCenter, row == 0 ? tr("attn") : tr("mlp"));
    for (int block = 0; block < int(muted_[0].size()); ++block) {
      const QRect box = cell(row, block);
      const bool muted = muted_[row][std::size_t(block)];
      painter.fillRect(box, muted ? c.base : isEnabled() ? c.b_fill : c.scales);
      if (muted) {
        painter.setPen(c.dim);
        painter.drawRect(box.adjusted(0, 0, -1, -1));
        painter.drawText(box, Qt::AlignCenter, "M");
      }
      if (hasFocus() && row == focus_row_ && block == focus_block_) {
        painter.setPen(QPen(c.text, 2));
        painter.drawRect(box.adjusted(1, 1, -1, -1));
      }
    }
  }
  painter.setPen(c.dim);
  const int blocks = int(muted_[0].size());
  for (int block = 0; block < blocks; block += std::max(1, blocks / 6 == 0 ? 1 : 5))
    painter.drawText(QRect(cell(1, block).left() - 8, 36, 40, 16), Qt::AlignLeft, QString::number(block));
}

void MuteGrid::mousePressEvent(QMouseEvent* event) {
  int row = 0, block = 0;
  if (!cellAt(event->pos(), row, block)) return;
  focus_row_ = row;
  focus_block_ = block;
  if (event->modifiers() & Qt::AltModifier) {
    solo();
  } else {
    painting_ = true;
    paint_value_ = !muted_[row][std::size_t(block)];
    muted_[row][std::size_t(block)] = paint_value_;
  }
  update();
  if (!painting_) emit changed();
}

/// Leaves the focused cell alone audible; once more, all are.
void MuteGrid::solo() {
  const bool alone = !muted_[focus_row_][std::size_t(focus_block_)] && mutedCount() + 1 == int(2 * muted_[0].size());
  for (auto& cells : muted_) std::fill(cells.begin(), cells.end(), !alone);
  muted_[focus_row_][std::size_t(focus_block_)] = false;
}

void MuteGrid::mouseMoveEvent(QMouseEvent* event) {
  int row = 0, block = 0;
  if (!painting_ || !cellAt(event->pos(), row, block)) return;
  muted_[row][std::size_t(block)] = paint_value_;
  update();
}

void MuteGrid::mouseReleaseEvent(QMouseEvent*) {
  if (!painting_) return;
  painting_ = false;
  emit changed();
}

void MuteGrid::keyPressEvent(QKeyEvent* event) {
  const int blocks = int(muted_[0].size());
  if (blocks == 0) return QWidget::keyPressEvent(event);
  switch (event->key()) {
    case Qt::Key_Left:
      focus_block_ = std::max(0, focus_block_ - 1);
      break;
    case Qt::Key_Right:
      focus_block_ = std::min(blocks - 1, focus_block_ + 1);
      break;
    case Qt::Key_Up:
      focus_row_ = 0;
      break;
    case Qt::Key_Down:
      focus_row_ = 1;
      break;
    case Qt::Key_S:
      solo();
      update();
      emit changed();
      return;
    case Qt::Key_Space:
      muted_[focus_row_][std::size_t(focus_block_)] = !muted_[focus_row_][std::size_t(focus_block_)];
      update();
      emit changed();
      return;
    default:
      return QWidget::keyPressEvent(event);
  }
  update();
}

BranchBox::BranchBox(QWidget* parent) : QWidget(parent) {
  setObjectName("branchBox");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  auto* head = new QHBoxLayout;
  head->setSpacing(8);
  auto* title = new QLabel(tr("Low-rank branch of B"), this);
  title->setFont(font_of_points(font(), 9, true));
  switch_ = new SegmentSwitch(tr("Branch"), this);
  switch_->setObjectName("branchSwitch");
  switch_->addSegment(0, tr("On"), tr("B with its branch"));
  switch_->addSegment(1, tr("Bypass"), tr("B without its branch: hear what it does (Ctrl+B)"));
  muted_ = make_dim_label({}, this);
  clear_ = new QPushButton(tr("Clear"), this);
  clear_->setObjectName("branchClear");
  clear_->setFlat(true);
  head->addWidget(title);
  head->addWidget(switch_);
  head->addStretch(1);
  head->addWidget(muted_);
  head->addWidget(clear_);
  column->addLayout(head);
  why_not_ = make_dim_label({}, this);
  why_not_->setWordWrap(true);
  column->addWidget(why_not_);
  body_ = new QWidget(this);
  auto* body = new QVBoxLayout(body_);
  body->setContentsMargins(0, 0, 0, 0);
  body->setSpacing(4);
  grid_ = new MuteGrid(body_);
  body->addWidget(grid_);
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  auto* label = make_dim_label(tr("Co&mponents"), body_);
  components_ = new QSlider(Qt::Horizontal, body_);
  components_->setObjectName("branchComponents");
  components_->setAccessibleName(tr("Components of the branch in use"));
  components_->setToolTip(tr("Use only the first components of each branch; they are ordered by what they explain"));
  label->setBuddy(components_);
  components_text_ = new QLabel(body_);
  components_text_->setFont(font_of_points(font(), 9, true));
  row->addWidget(label);
  row->addWidget(components_, 1);
  row->addWidget(components_text_);
  body->addLayout(row);
  column->addWidget(body_);
  switch_->on_change = [this](int) {
    follow();
    emit changed();
  };
  connect(grid_, &MuteGrid::changed, this, [this] {
    follow();
    emit changed();
  });
  connect(clear_, &QPushButton::clicked, grid_, &MuteGrid::clear);
  connect(components_, &QSlider::valueChanged, this, [this] {
    follow();
    if (!components_->isSliderDown()) emit changed();
  });
  connect(components_, &QSlider::sliderReleased, this, &BranchBox::changed);
  setBranch(0, 0, {});
}

void BranchBox::setBranch(int blocks, int largest_rank, const QString& why_not) {
  const bool there = largest_rank > 0;
  const QSignalBlocker quiet_components(components_), quiet_grid(grid_);
  const auto report = std::move(switch_->on_change);
  switch_->on_change = {};
  switch_->setCurrent(0);
  switch_->on_change = report;
  grid_->setBlocks(blocks);
  components_->setRange(0, largest_rank);
  components_->setValue(largest_rank);
  why_not_->setText(why_not);
  why_not_->setVisible(!there);
  body_->setVisible(there);
  switch_->setVisible(there);
  follow();
}

void BranchBox::follow() {
  const bool on = switch_->current() == 0;
  grid_->setEnabled(on);
  components_->setEnabled(on);
  const int muted = grid_->mutedCount();
  muted_->setText(tr("%1 muted").arg(muted));
  muted_->setVisible(muted > 0);
  clear_->setVisible(muted > 0);
  // As wide as the widest text, so that nothing moves while dragging.
  components_text_->setMinimumWidth(components_text_->fontMetrics().horizontalAdvance(tr("%1 of %1").arg(components_->maximum())));
  components_text_->setText(tr("%1 of %2").arg(components_->value()).arg(components_->maximum()));
}

void BranchBox::toggleBypass() {
  if (switch_->isVisible()) switch_->setCurrent(1 - switch_->current());
}

BranchControl BranchBox::control() const {
  BranchControl control;
  control.bypass = switch_->current() == 1;
  if (components_->value() < components_->maximum()) control.components = std::size_t(components_->value());
  if (grid_->mutedCount() > 0) {
    control.muted_attention = grid_->attention();
    control.muted_mlp = grid_->mlp();
  }
  return control;
}

}  // namespace lrc::app
