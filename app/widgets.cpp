#include "widgets.h"

#include <QEvent>
#include <QFile>
#include <QHBoxLayout>
#include <QPainter>
#include <QStylePainter>
#include <QSvgRenderer>
#include <QToolTip>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"
#include "plot_style.h"

// The resources lie in a static library: the linker keeps them only where somebody asks. Must stand outside a namespace.
static void load_resources() { Q_INIT_RESOURCE(resources); }

namespace lrc::app {

QIcon themed_icon(const QString& name) {
  load_resources();
  QFile file(":/icons/" + name + ".svg");
  if (!file.open(QIODevice::ReadOnly)) return {};
  const QByteArray source = file.readAll();
  QIcon icon;
  const auto add = [&](const QColor& colour, QIcon::Mode mode) {
    QByteArray svg = source;
    svg.replace("currentColor", colour.name().toUtf8());
    QSvgRenderer renderer(svg);
    for (const int size : {16, 32, 48}) {
      QPixmap pixmap(size, size);
      pixmap.fill(Qt::transparent);
      QPainter painter(&pixmap);
      renderer.render(&painter);
      painter.end();
      icon.addPixmap(pixmap, mode);
    }
  };
  add(colours().text, QIcon::Normal);
  add(colours().faint, QIcon::Disabled);
  return icon;
}

IconButton::IconButton(const QString& icon, const QString& tooltip, QWidget* parent) : QToolButton(parent), icon_(icon) {
  setAutoRaise(true);
  setFixedSize(24, 24);
  setIconSize({16, 16});
  setIcon(themed_icon(icon));
  setToolTip(tooltip);
  setAccessibleName(tooltip);
  setFocusPolicy(Qt::TabFocus);
}

void IconButton::changeEvent(QEvent* event) {
  QToolButton::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) setIcon(themed_icon(icon_));
}

void ElidedCombo::paintEvent(QPaintEvent*) {
  QStylePainter painter(this);
  QStyleOptionComboBox option;
  initStyleOption(&option);
  painter.drawComplexControl(QStyle::CC_ComboBox, option);
  const QRect field = style()->subControlRect(QStyle::CC_ComboBox, &option, QStyle::SC_ComboBoxEditField, this);
  option.currentText = fontMetrics().elidedText(option.currentText, Qt::ElideRight, field.width() - 4);
  painter.drawControl(QStyle::CE_ComboBoxLabel, option);
}

bool ElidedCombo::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip && toolTip().isEmpty()) {
    QToolTip::showText(static_cast<QHelpEvent*>(event)->globalPos(), currentText(), this);
    return true;
  }
  return QComboBox::event(event);
}

FoldingSection::FoldingSection(const QString& title, QWidget* parent) : QWidget(parent) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  header_ = new QToolButton(this);
  header_->setText(title);
  header_->setAccessibleName(title);
  header_->setCheckable(true);
  header_->setChecked(true);
  header_->setAutoRaise(true);
  header_->setArrowType(Qt::DownArrow);
  header_->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
  header_->setProperty("heading", true);
  QFont bold = font();
  bold.setBold(true);
  header_->setFont(bold);
  summary_ = new ElidedLabel({}, Qt::ElideRight, this);
  summary_->setDim(true);
  summary_->hide();
  row->addWidget(header_);
  row->addWidget(summary_, 1);
  row->addStretch(0);
  column->addLayout(row);
  body_ = new QWidget(this);
  body_layout_ = new QVBoxLayout(body_);
  body_layout_->setContentsMargins(12, 0, 0, 4);
  body_layout_->setSpacing(4);
  column->addWidget(body_);
  connect(header_, &QToolButton::toggled, this, [this](bool open) {
    body_->setVisible(open);
    summary_->setVisible(!open);
    header_->setArrowType(open ? Qt::DownArrow : Qt::RightArrow);
  });
}

void FoldingSection::setSummary(const QString& text) { summary_->setText(text); }
void FoldingSection::setOpen(bool open) { header_->setChecked(open); }
bool FoldingSection::isOpen() const { return header_->isChecked(); }

}  // namespace lrc::app
