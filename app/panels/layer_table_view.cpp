#include "panels/layer_table_view.h"

#include <QKeyEvent>
#include <QLineEdit>
#include <QPainter>
#include <algorithm>
#include <cmath>
#include <vector>

#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

constexpr int cell_margin = 6;

/// Where the axis has its lines, in per cent: 1, 3, 10 on the usual one, decades on a longer one.
std::vector<double> axis_ticks(const QPointF& axis) {
  if (axis.x() >= 0.5 && axis.y() <= 20) return {1, 3, 10};
  std::vector<double> ticks;
  const int decades = int(std::lround(std::log10(axis.y() / axis.x())));
  for (double tick = std::pow(10.0, std::ceil(std::log10(axis.x()) + 0.01)); tick<axis.y() * 0.9; tick *= decades> 3 ? 100 : 10)
    ticks.push_back(tick);
  return ticks;
}

}  // namespace

double dumbbell_position(double fraction, const QPointF& axis) {
  const double percent = std::max(fraction * 100, 1e-9);
  return std::clamp(std::log(percent / axis.x()) / std::log(axis.y() / axis.x()), 0.0, 1.0);
}

void draw_marker(QPainter& painter, const QPointF& centre, double radius, bool is_a, bool hollow) {
  const Colours& c = colours();
  const QColor colour = is_a ? c.a_fill : c.b_fill;
  painter.setPen(hollow ? QPen(colour, 1.3) : QPen(Qt::NoPen));
  painter.setBrush(hollow ? c.base : colour);
  if (is_a) {
    painter.drawEllipse(centre, radius, radius);
  } else {
    const double r = radius * 1.25;
    painter.drawPolygon(QPolygonF({centre + QPointF(0, -r), centre + QPointF(r, 0), centre + QPointF(0, r), centre + QPointF(-r, 0)}));
  }
}

// ---- Header ------------------------------------------------------------------------------------------------------------

LayerHeader::LayerHeader(QWidget* parent) : QHeaderView(Qt::Horizontal, parent) {
  setSectionsClickable(true);
  setHighlightSections(false);
  setSectionsMovable(true);
  setMinimumSectionSize(16);
}

QSize LayerHeader::sizeHint() const { return {QHeaderView::sizeHint().width(), 2 * fontMetrics().height() + 6}; }

void LayerHeader::paintSection(QPainter* painter, const QRect& rect, int section) const {
  const Colours& c = colours();
  painter->save();
  painter->setClipRect(rect);
  painter->fillRect(rect, c.window);
  painter->setPen(c.line);
  painter->drawLine(rect.bottomLeft(), rect.bottomRight());
  painter->drawLine(rect.topRight() + QPoint(0, 6), rect.bottomRight() - QPoint(0, 6));
  const int line = fontMetrics().height();
  const QRect upper(rect.left() + cell_margin, rect.top() + 2, rect.width() - 2 * cell_margin, line);
  const QRect lower(rect.left() + cell_margin, rect.top() + 2 + line, rect.width() - 2 * cell_margin, line);
  QString unit = model()->headerData(section, Qt::Horizontal, LayerTableModel::unit_role).toString();
  QString name = model()->headerData(section, Qt::Horizontal, Qt::DisplayRole).toString();
  const Qt::Alignment align = Qt::Alignment(model()->headerData(section, Qt::Horizontal, Qt::TextAlignmentRole).toInt());
  const bool sorted = isSortIndicatorShown() && sortIndicatorSection() == section;
  QFont heading = font();
  heading.setBold(sorted);
  if (sorted && !name.isEmpty()) {
    // Beside the name where both fit, else beside the unit below it.
    const QString arrow = sortIndicatorOrder() == Qt::DescendingOrder ? QStringLiteral("▾") : QStringLiteral("▴");
    const bool fits = QFontMetrics(heading).horizontalAdvance(name + ' ' + arrow) <= upper.width();
    (fits ? name : unit) += (fits || !unit.isEmpty() ? QStringLiteral(" ") : QString()) + arrow;
  }
  painter->setFont(heading);
  painter->setPen(c.text);
  painter->setRenderHint(QPainter::Antialiasing);
  if (section == LayerTableModel::error_a || section == LayerTableModel::error_b) {
    const bool is_a = section == LayerTableModel::error_a;
    const QRect letter(upper.right() - 15 - (sorted ? 12 : 0), upper.top(), 15, line);
    painter->setPen(Qt::NoPen);
    painter->setBrush(is_a ? c.a_fill : c.b_fill);
    painter->drawRoundedRect(QRectF(letter).adjusted(0.5, 0.5, -0.5, -0.5), 2, 2);
    painter->setPen(is_dark() ? QColor("#14171a") : QColor("#ffffff"));
    QFont bold = font_of_points(font(), 8, true);
    painter->setFont(bold);
    painter->drawText(letter, Qt::AlignCenter, is_a ? "A" : "B");
    if (sorted) {
      painter->setPen(c.text);
      painter->setFont(heading);
      painter->drawText(QRect(letter.right() + 2, upper.top(), 12, line), Qt::AlignCenter,
                        sortIndicatorOrder() == Qt::DescendingOrder ? "▾" : "▴");
    }
  } else {
    painter->drawText(upper, int(align), painter->fontMetrics().elidedText(name, Qt::ElideRight, upper.width()));
  }
  painter->setFont(font_of_points(font(), 8));
  painter->setPen(c.dim);
  if (section == LayerTableModel::error) {
    const int left = rect.left() + 10, width = rect.width() - 20;
    const QPointF axis = model()->headerData(section, Qt::Horizontal, LayerTableModel::axis_role).toPointF();
    int labelled_to = rect.left();
    for (const double percent : axis_ticks(axis)) {
      const int x = left + int(std::lround(dumbbell_position(percent / 100, axis) * width));
      painter->setPen(c.line);
      painter->drawLine(x, rect.bottom() - 3, x, rect.bottom());
      const QString label = QString::number(percent);
      const int half = painter->fontMetrics().horizontalAdvance(label) / 2 + 1;
      if (x - half < labelled_to || x + half > rect.right()) continue;
      labelled_to = x + half + 4;
      painter->setPen(c.dim);
      painter->drawText(QRect(x - half, lower.top(), 2 * half, line - 2), Qt::AlignCenter, label);
    }
  } else {
    painter->drawText(lower, int(align), painter->fontMetrics().elidedText(unit, Qt::ElideRight, lower.width()));
  }
  painter->restore();
}

// ---- Cells -------------------------------------------------------------------------------------------------------------

LayerDelegate::LayerDelegate(LayerTableModel& model, LayerProxy& proxy, QObject* parent)
    : QStyledItemDelegate(parent), model_(model), proxy_(proxy) {}

QSize LayerDelegate::sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const {
  return {QStyledItemDelegate::sizeHint(option, index).width(), 20};
}

QWidget* LayerDelegate::createEditor(QWidget* parent, const QStyleOptionViewItem&, const QModelIndex& index) const {
  auto* editor = new QLineEdit(parent);
  editor->setObjectName(index.column() == LayerTableModel::rank ? "layersRankEditor" : "layersBitsEditor");
  editor->setAlignment(Qt::AlignRight);
  editor->setFrame(false);
  return editor;
}

/// What is being typed stays when the row gets new numbers.
void LayerDelegate::setEditorData(QWidget* editor, const QModelIndex& index) const {
  if (!static_cast<QLineEdit*>(editor)->isModified()) QStyledItemDelegate::setEditorData(editor, index);
}

void LayerDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const {
  const Colours& c = colours();
  const QRect rect = option.rect;
  const LayerRow& row = model_.row(proxy_.mapToSource(index).row());
  painter->save();
  const bool selected = option.state & QStyle::State_Selected;
  painter->fillRect(rect, selected ? c.selected_row : (index.row() % 2 ? c.alternate : c.base));
  const QRect inside = rect.adjusted(cell_margin, 0, -cell_margin, 0);
  QFont font = option.font;
  const auto number = [&](const QString& text, const QColor& colour) {
    painter->setFont(font);
    painter->setPen(text == "–" ? c.faint : colour);
    painter->drawText(inside, Qt::AlignRight | Qt::AlignVCenter, text);
  };
  const QString text = index.data(Qt::DisplayRole).toString();
  switch (index.column()) {
    case LayerTableModel::marks:
      if (row.facts.has_override) painter->fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), c.override_mark);
      if (row.facts.pending) {
        painter->setRenderHint(QPainter::Antialiasing);
        painter->setPen(Qt::NoPen);
        painter->setBrush(c.pending_mark);
        painter->drawEllipse(QPointF(rect.left() + 10, rect.center().y() + 0.5), 2.5, 2.5);
      }
      if (row.facts.has_note) {
        painter->setRenderHint(QPainter::Antialiasing);
        painter->setPen(Qt::NoPen);
        painter->setBrush(c.text);
        painter->drawPolygon(QPolygonF(
            {QPointF(rect.right() - 5, rect.top()), QPointF(rect.right() + 1, rect.top()), QPointF(rect.right() + 1, rect.top() + 6)}));
      }
      break;
    case LayerTableModel::layer:
      painter->setFont(font);
      painter->setPen(c.text);
      painter->drawText(inside.adjusted(-2, 0, 0, 0), Qt::AlignLeft | Qt::AlignVCenter,
                        painter->fontMetrics().elidedText(text, Qt::ElideMiddle, inside.width() + 2));
      break;
    case LayerTableModel::shape:
      number(text, c.dim);
      break;
    case LayerTableModel::bits:
      font.setBold(row.bits_overridden);
      number(text, c.text);
      break;
    case LayerTableModel::rank:
      font.setBold(row.rank_overridden);
      number(text, c.text);
      break;
    case LayerTableModel::size: {
      painter->setFont(font);
      painter->setPen(text == "–" ? c.faint : c.text);
      painter->drawText(inside.adjusted(0, -2, 0, -2), Qt::AlignRight | Qt::AlignVCenter, text);
      if (!row.scheme) break;
      // The bar's full width is 16 bits per weight.
      const double weights = double(row.out_features * row.in_features);
      const double unit = double(inside.width()) / 16;
      double x = inside.left();
      const auto part = [&](std::size_t bits, const QColor& colour) {
        const double width = double(bits) / weights * unit;
        painter->fillRect(QRectF(x, rect.bottom() - 2, width, 2), colour);
        x += width;
      };
      part(row.size.code_bits, c.codes);
      part(row.size.scale_bits, c.scales);
      part(row.size.factor_bits, c.b_fill);
      break;
    }
    case LayerTableModel::error: {
      painter->setRenderHint(QPainter::Antialiasing);
      const double left = rect.left() + 10, width = rect.width() - 20, y = rect.center().y() + 0.5;
      const QPointF axis = model_.headerData(LayerTableModel::error, Qt::Horizontal, LayerTableModel::axis_role).toPointF();
      const auto place = [&](double fraction) { return QPointF(left + dumbbell_position(fraction, axis) * width, y); };
      painter->setPen(QPen(c.grid, 1));
      for (const double percent : axis_ticks(axis))
        painter->drawLine(QPointF(place(percent / 100).x(), rect.top()), QPointF(place(percent / 100).x(), rect.bottom()));
      if (!std::isnan(row.a) && !std::isnan(row.b)) {
        painter->setPen(QPen(c.scales, 2));
        painter->drawLine(place(row.a), place(row.b));
      }
      // The bound certifies the regularised loss, which lies above the loss drawn here: beyond B it says nothing about B.
      if (row.bound <= row.b) {
        painter->setPen(QPen(c.text, 1.3));
        painter->drawLine(place(row.bound) - QPointF(0, 5), place(row.bound) + QPointF(0, 5));
      }
      if (!std::isnan(row.a)) draw_marker(*painter, place(row.a), 3.6, true);
      if (!std::isnan(row.b)) draw_marker(*painter, place(row.b), 3.6, false);
      if (!std::isnan(row.draft)) draw_marker(*painter, place(row.draft), row.draft_solved ? 2.6 : 3.6, false, !row.draft_solved);
      break;
    }
    case LayerTableModel::error_b:
      font.setItalic(!std::isnan(row.draft) && !row.draft_solved);
      number(text, std::isnan(row.draft) ? c.text : c.b_text);
      break;
    case LayerTableModel::sensitivity:
      if (!std::isnan(row.sensitivity) && model_.mostSensitive() > 0)
        painter->fillRect(
            QRectF(rect.left() + 2, rect.top() + 5, (rect.width() - 4) * row.sensitivity / model_.mostSensitive(), rect.height() - 10),
            c.grid);
      font.setItalic(row.sensitivity_estimated);
      number(text, c.text);
      break;
    case LayerTableModel::held_out:
      number(text, row.held_out > 1.3 * row.b ? c.warn : c.text);
      break;
    default:
      number(text, c.text);
      break;
  }
  if (option.state & QStyle::State_HasFocus) {
    painter->setRenderHint(QPainter::Antialiasing, false);
    painter->setPen(QPen(c.highlight, 1));
    painter->setBrush(Qt::NoBrush);
    painter->drawRect(rect.adjusted(0, 0, -1, -1));
  }
  painter->restore();
}

// ---- Keys --------------------------------------------------------------------------------------------------------------

LayerTableView::LayerTableView(QWidget* parent) : QTableView(parent) {}

void LayerTableView::keyPressEvent(QKeyEvent* event) {
  if (event->matches(QKeySequence::Copy)) return emit copyAsked();
  const bool editable = currentIndex().column() == LayerTableModel::rank || currentIndex().column() == LayerTableModel::bits;
  const bool plain = !(event->modifiers() & (Qt::ControlModifier | Qt::AltModifier));
  switch (event->key()) {
    case Qt::Key_BracketLeft:
      return emit stepAsked(-1, 0);
    case Qt::Key_BracketRight:
      return emit stepAsked(1, 0);
    case Qt::Key_BraceLeft:
      return emit stepAsked(0, -1);
    case Qt::Key_BraceRight:
      return emit stepAsked(0, 1);
    case Qt::Key_Backspace:
      return emit resetAsked();
    case Qt::Key_R:
      if (plain) return emit editAsked(LayerTableModel::rank);
      break;
    case Qt::Key_B:
      if (plain) return emit editAsked(LayerTableModel::bits);
      break;
    case Qt::Key_N:
      if (plain) return emit noteAsked();
      break;
    case Qt::Key_Return:
    case Qt::Key_Enter:
      // The editor's own Enter comes by here, too, before what was typed is taken over.
      if (state() == EditingState) return;
      return emit layerActivated();
    default:
      if (plain && !editable && event->key() >= Qt::Key_1 && event->key() <= Qt::Key_9) return emit measureAsked(event->key() - Qt::Key_1);
      break;
  }
  QTableView::keyPressEvent(event);
}

}  // namespace lrc::app
