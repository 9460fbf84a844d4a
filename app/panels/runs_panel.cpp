#include <QClipboard>
#include <QDesktopServices>
#include <QGuiApplication>
#include <QHeaderView>
#include <QLineEdit>
#include <QMenu>
#include <QUrl>
#include <QVBoxLayout>

#include "models/notebook.h"
#include "models/run_selection.h"
#include "models/run_table_model.h"
#include "panels/note_editor.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/plot_tools.h"
#include "panels/run_table_view.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

class RunsPanel : public QWidget {
 public:
  RunsPanel(Workspace& workspace, QWidget* parent);

 protected:
  bool eventFilter(QObject* object, QEvent* event) override;

 private:
  void fitColumns();  ///< the recipe's name takes what the numbers leave
  const RunEntry* current() const { return workspace_.findRun(selection_.current()); }
  void follow();  ///< buttons and sentence
  void showSelection();
  void act(int key);
  void menu(const QPoint& position);
  void pauseOrResume();

  Workspace& workspace_;
  RunSelection& selection_;
  RunTableModel* model_;
  RunProxy* proxy_;
  TitleControls* controls_;
  FilterField* filter_;
  QPushButton *pause_, *stop_, *set_a_, *set_b_;
  Notice* notice_;
  RunTableView* table_;
  bool showing_ = false;
};

RunsPanel::RunsPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), selection_(RunSelection::of(workspace)) {
  setObjectName("runsPanel");
  setWindowTitle(tr("Runs"));
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  layout->addWidget(controls_);
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  filter_ = new FilterField(this);
  filter_->setObjectName("runsFilter");
  filter_->setAccessibleName(tr("Filter runs"));
  filter_->setPlaceholderText(tr("Filter:  lrc  ·  state:done  bpw<7  kl<0.2"));
  filter_->setClearButtonEnabled(true);
  row->addWidget(filter_, 1);
  const auto button = [&](const QString& name, const QString& text, const QString& tip) {
    auto* made = new QPushButton(text, this);
    made->setObjectName(name);
    made->setToolTip(tip);
    row->addWidget(made);
    return made;
  };
  pause_ = button("runPause", tr("Pause"), tr("Stops after the layer in hand; what is solved is kept (Space)"));
  // Fixed to the wider of its two texts, so that nothing moves when it changes.
  pause_->setMinimumWidth(pause_->fontMetrics().horizontalAdvance(tr("Resume")) + 24);
  stop_ = button("runStop", tr("Stop"), tr("Ends the run; solved layers are kept"));
  set_a_ = button("runSetA", tr("Set as A"), tr("The reference (A)"));
  set_b_ = button("runSetB", tr("Set as B"), tr("The candidate (B)"));
  layout->addLayout(row);
  notice_ = new Notice(this);
  layout->addWidget(notice_);

  model_ = new RunTableModel(workspace_, this);
  proxy_ = new RunProxy(*model_, this);
  table_ = new RunTableView(this);
  table_->setModel(proxy_);
  table_->setItemDelegate(new RunDelegate(workspace_, table_));
  table_->sortByColumn(RunTableModel::number, Qt::DescendingOrder);
  auto* header = table_->horizontalHeader();
  const int digit = fontMetrics().horizontalAdvance('0');
  const int characters[] = {0, 4, 0, 16, 5, 6, 7, 8, 5, 8};
  for (int column = 0; column < RunTableModel::column_count; ++column) {
    // The name takes what the figures leave.
    header->setSectionResizeMode(column, column == RunTableModel::recipe ? QHeaderView::Stretch : QHeaderView::Interactive);
    header->resizeSection(column, column == RunTableModel::slot ? 28 : characters[column] * digit + 16);
  }
  table_->viewport()->installEventFilter(this);
  layout->addWidget(table_, 1);

  connect(filter_, &QLineEdit::textChanged, this, [this](const QString& text) {
    RunFilter filter = parse_run_filter(text);
    using State = FilterField::State;
    filter_->setState(text.isEmpty() ? State::plain : filter.problem.isEmpty() ? State::valid : State::invalid);
    filter_->setToolTip(filter.problem);
    if (filter.problem.isEmpty()) proxy_->setFilter(std::move(filter));
    follow();
  });
  connect(pause_, &QPushButton::clicked, this, [this] { pauseOrResume(); });
  connect(stop_, &QPushButton::clicked, this, [this] {
    if (const RunEntry* run = current()) {
      stop_->setEnabled(false);
      workspace_.stopRun(run->number);
    }
  });
  connect(set_a_, &QPushButton::clicked, this, [this] { act(Qt::Key_A); });
  connect(set_b_, &QPushButton::clicked, this, [this] { act(Qt::Key_B); });
  connect(table_, &RunTableView::keyed, this, [this](int key) { act(key); });
  connect(table_, &QTableView::customContextMenuRequested, this, [this](const QPoint& position) { menu(position); });
  connect(table_->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this](const QModelIndex& index) {
    if (!showing_ && index.isValid()) selection_.select(index.data(RunTableModel::run_role).toInt());
  });
  connect(&selection_, &RunSelection::changed, this, [this] {
    showSelection();
    follow();
  });
  // After the model's own reset, which the same signal started earlier.
  connect(&workspace_, &Workspace::runsChanged, this, [this] {
    if (workspace_.findRun(selection_.current()) == nullptr) {
      const RunEntry* running = workspace_.runningRun();
      selection_.select(running ? running->number : workspace_.runs().empty() ? 0 : workspace_.runs().back().number);
    }
    showSelection();
    follow();
  });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] { follow(); });
  connect(&workspace_, &Workspace::modelOpened, this, [this] { follow(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { follow(); });
  follow();
}

void RunsPanel::fitColumns() {
  auto* header = table_->horizontalHeader();
  const int width = table_->viewport()->width();
  table_->setColumnHidden(RunTableModel::file, width < 800);
  table_->setColumnHidden(RunTableModel::top1, width < 760);
  int others = 0;
  for (int column = 0; column < RunTableModel::column_count; ++column)
    if (column != RunTableModel::recipe && !table_->isColumnHidden(column)) others += header->sectionSize(column);
  header->resizeSection(RunTableModel::recipe, std::max(120, width - others));
}

bool RunsPanel::eventFilter(QObject* object, QEvent* event) {
  if (object == table_->viewport() && event->type() == QEvent::Resize) fitColumns();
  return QWidget::eventFilter(object, event);
}

void RunsPanel::showSelection() {
  showing_ = true;
  const int row = model_->rowOf(selection_.current());
  const QModelIndex index = row < 0 ? QModelIndex() : proxy_->mapFromSource(model_->index(row, RunTableModel::number));
  if (index.isValid())
    table_->setCurrentIndex(index);
  else
    table_->clearSelection();
  showing_ = false;
}

void RunsPanel::follow() {
  const RunEntry* run = current();
  using State = RunEntry::State;
  const bool active = run && (run->state == State::running || run->state == State::queued);
  const bool resumable = run && (run->state == State::paused || run->state == State::stopped || run->state == State::failed);
  pause_->setText(resumable ? tr("Resume") : tr("Pause"));
  pause_->setEnabled(active || resumable);
  stop_->setEnabled(active || (run && run->state == State::paused));
  const bool done = run && run->usable();
  set_a_->setEnabled(done && !(workspace_.slotA() == Slot{run->number}));
  set_b_->setEnabled(done && !(workspace_.slotB() == Slot{run->number}));
  controls_->setContext(workspace_.hasModel() ? QString::fromStdString(workspace_.model()->display_name()) : QString());
  const int total = int(workspace_.runs().size()), shown = proxy_->rowCount();
  if (!workspace_.hasModel())
    notice_->say(tr("Open a model to start a run."));
  else if (total == 0)
    notice_->say(tr("No runs yet. Run (F5) in the recipe starts the first."));
  else if (shown < total)
    notice_->say(tr("%1 of %2 runs match the filter.").arg(shown).arg(total));
  else
    notice_->clear();
}

void RunsPanel::pauseOrResume() {
  const RunEntry* run = current();
  if (run == nullptr) return;
  if (pause_->hasFocus()) table_->setFocus();  // else the next key would press Stop
  pause_->setEnabled(false);                   // until the state says what happened
  if (run->state == RunEntry::State::running || run->state == RunEntry::State::queued)
    workspace_.pauseRun(run->number);
  else
    workspace_.resumeRun(run->number);
}

void RunsPanel::act(int key) {
  const RunEntry* run = current();
  if (run == nullptr) return;
  const int number = run->number;
  switch (key) {
    case Qt::Key_Space:
      if (pause_->isEnabled()) pauseOrResume();
      break;
    case Qt::Key_Delete:
      workspace_.deleteRun(number);
      break;
    case Qt::Key_A:
      if (run->usable()) workspace_.setSlotA({number});
      break;
    case Qt::Key_B:
      if (run->usable()) workspace_.setSlotB({number});
      break;
    case Qt::Key_D:
      workspace_.editDraft(tr("Recipe of #%1 as draft").arg(number), run->manifest.recipe);
      break;
    case Qt::Key_N: {
      Notebook& notebook = Notebook::of(workspace_);
      NoteEditor::open(this, table_->viewport()->mapToGlobal(table_->visualRect(table_->currentIndex()).bottomLeft()),
                       tr("Note on #%1").arg(number), notebook.runNote(number),
                       [&notebook, number](const QString& text) { notebook.setRunNote(number, text); });
      break;
    }
    case Qt::Key_P: {
      Notebook& notebook = Notebook::of(workspace_);
      notebook.setPinned(number, !notebook.isPinned(number));
      break;
    }
    default:
      break;
  }
}

void RunsPanel::menu(const QPoint& position) {
  const RunEntry* run = current();
  if (run == nullptr) return;
  const int number = run->number;
  using State = RunEntry::State;
  auto* menu = new QMenu(this);
  menu->setAttribute(Qt::WA_DeleteOnClose);
  const auto add = [&](const QString& name, const QString& text, bool enabled, std::function<void()> action) {
    QAction* made = menu->addAction(text);
    made->setObjectName(name);
    made->setEnabled(enabled);
    connect(made, &QAction::triggered, this, std::move(action));
  };
  const bool active = run->state == State::running || run->state == State::queued;
  add("runPauseAction", pause_->text() + "\tSpace", pause_->isEnabled(), [this] { pauseOrResume(); });
  add("runStopAction", tr("Stop"), stop_->isEnabled(), [this, number] { workspace_.stopRun(number); });
  menu->addSeparator();
  add("runSetAAction", tr("Set as A\tA"), set_a_->isEnabled(), [this] { act(Qt::Key_A); });
  add("runSetBAction", tr("Set as B\tB"), set_b_->isEnabled(), [this] { act(Qt::Key_B); });
  add("runOpenDraftAction", tr("Open recipe as draft\tD"), true, [this] { act(Qt::Key_D); });
  add("runNoteAction", tr("Note…\tN"), true, [this] { act(Qt::Key_N); });
  add("runPinAction", Notebook::of(workspace_).isPinned(number) ? tr("Unpin\tP") : tr("Pin on top of the slots\tP"), true,
      [this] { act(Qt::Key_P); });
  menu->addSeparator();
  add("runCopyCommandAction", tr("Copy command"), true, [this, number] {
    if (const RunEntry* found = workspace_.findRun(number)) QGuiApplication::clipboard()->setText(workspace_.commandOf(*found));
  });
  add("runOpenFolderAction", tr("Open folder"), true,
      [folder = run->folder] { QDesktopServices::openUrl(QUrl::fromLocalFile(QString::fromStdString(folder.string()))); });
  menu->addSeparator();
  add("runDeleteAction", tr("Delete (to the trash)\tDel"), !active, [this] { act(Qt::Key_Delete); });
  menu->popup(table_->viewport()->mapToGlobal(position));
}

}  // namespace

QWidget* make_runs_panel(Workspace& workspace, QWidget* parent) { return new RunsPanel(workspace, parent); }

}  // namespace lrc::app
