#include <QCheckBox>
#include <QClipboard>
#include <QGuiApplication>
#include <QHeaderView>
#include <QTableWidget>
#include <QVBoxLayout>

#include "models/compare_rows.h"
#include "models/run_facts.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

class ComparePanel : public QWidget {
 public:
  ComparePanel(Workspace& workspace, QWidget* parent);

 protected:
  void changeEvent(QEvent* event) override;

 private:
  void refresh();
  void fill();

  Workspace& workspace_;
  TitleControls* controls_;
  QLabel* title_;
  QCheckBox* only_differing_;
  Notice* notice_;
  QTableWidget* table_;
  std::vector<CompareRow> rows_;
};

ComparePanel::ComparePanel(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  setObjectName("comparePanel");
  setWindowTitle(tr("Compare"));
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  auto* copy = new IconButton("copy", tr("Copy as Markdown"), this);
  copy->setObjectName("compareCopy");
  controls_->add(copy);
  layout->addWidget(controls_);
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  title_ = new QLabel(this);
  title_->setObjectName("compareTitle");
  title_->setTextFormat(Qt::RichText);
  title_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Minimum);
  title_->setWordWrap(true);
  only_differing_ = new QCheckBox(tr("Only what differs"), this);
  only_differing_->setObjectName("compareOnlyDiff");
  only_differing_->setChecked(true);
  row->addWidget(title_, 1);
  row->addWidget(only_differing_);
  layout->addLayout(row);
  notice_ = new Notice(this);
  layout->addWidget(notice_);
  table_ = new QTableWidget(this);
  table_->setObjectName("compareTable");
  table_->setAccessibleName(tr("A against B"));
  table_->setColumnCount(4);
  table_->setHorizontalHeaderLabels({{}, tr("A"), tr("B"), tr("change")});
  table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table_->setSelectionBehavior(QAbstractItemView::SelectRows);
  table_->setAlternatingRowColors(true);
  table_->setShowGrid(false);
  table_->setTabKeyNavigation(false);
  table_->verticalHeader()->hide();
  table_->verticalHeader()->setDefaultSectionSize(20);
  table_->horizontalHeader()->setSectionResizeMode(QHeaderView::Stretch);
  for (const int column : {0, 3}) table_->horizontalHeader()->setSectionResizeMode(column, QHeaderView::ResizeToContents);
  table_->horizontalHeader()->setHighlightSections(false);
  layout->addWidget(table_, 1);
  layout->addStretch(0);  // takes the space while there is nothing to compare
  connect(only_differing_, &QCheckBox::toggled, this, [this] { fill(); });
  connect(copy, &QToolButton::clicked, this, [this] {
    QGuiApplication::clipboard()->setText(to_markdown(rows_, workspace_.slotTitle(workspace_.slotA()),
                                                      workspace_.slotTitle(workspace_.slotB()), only_differing_->isChecked()));
  });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::runsChanged, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::modelOpened, this, [this] { refresh(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { refresh(); });
  refresh();
}

void ComparePanel::refresh() {
  rows_.clear();
  const Slot a = workspace_.slotA(), b = workspace_.slotB();
  const Colours& c = colours();
  title_->setText(QString("<span style='color:%1'>● A</span>&nbsp; %2 &nbsp;%3&nbsp; <span style='color:%4'>◆ B</span>&nbsp; %5")
                      .arg(c.a_text.name(), workspace_.slotTitle(a).toHtmlEscaped(), tr("against"), c.b_text.name(),
                           workspace_.slotTitle(b).toHtmlEscaped()));
  if (!workspace_.hasModel())
    notice_->say(tr("Open a model to compare runs."));
  else if (!a.run && !b.run)
    notice_->say(tr("A and B are both the original. Put runs into the slots to compare them."));
  else if (a == b)
    notice_->say(tr("A and B are the same run."));
  else
    notice_->clear();
  const bool shown = workspace_.hasModel() && !(a == b);
  table_->setVisible(shown);
  title_->setVisible(workspace_.hasModel());
  if (shown) rows_ = compare_runs(run_in(workspace_, a), run_in(workspace_, b), *workspace_.model());
  fill();
}

void ComparePanel::fill() {
  const Colours& c = colours();
  table_->clearSpans();
  table_->setRowCount(0);
  QString section;
  for (const CompareRow& row : rows_) {
    if (!row.section.isEmpty()) section = row.section;
    if (only_differing_->isChecked() && !row.differs) continue;
    if (!section.isEmpty()) {
      const int at = table_->rowCount();
      table_->insertRow(at);
      auto* item = new QTableWidgetItem(section);
      QFont font = table_->font();
      font.setBold(true);
      item->setFont(font);
      item->setBackground(c.grid);
      item->setFlags(Qt::ItemIsEnabled);
      table_->setItem(at, 0, item);
      table_->setSpan(at, 0, 1, 4);
      section.clear();
    }
    const int at = table_->rowCount();
    table_->insertRow(at);
    const QString cells[] = {row.name, row.a, row.b, row.change};
    for (int column = 0; column < 4; ++column) {
      auto* item = new QTableWidgetItem(cells[column]);
      if (column > 0) item->setTextAlignment(Qt::AlignRight | Qt::AlignVCenter);
      item->setToolTip(cells[column]);
      if (column == 3) {
        using Direction = CompareRow::Direction;
        item->setForeground(row.direction == Direction::better ? c.ok : row.direction == Direction::worse ? c.warn : c.dim);
        item->setToolTip(row.direction == Direction::better  ? tr("better")
                         : row.direction == Direction::worse ? tr("worse")
                         : row.direction == Direction::noise ? tr("within two standard errors over the windows")
                                                             : QString());
      }
      table_->setItem(at, column, item);
    }
  }
}

void ComparePanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) refresh();
}

}  // namespace

QWidget* make_compare_panel(Workspace& workspace, QWidget* parent) { return new ComparePanel(workspace, parent); }

}  // namespace lrc::app
