// The recipe panel: scope, preset, fields, and what stands pinned below them: pending changes, forecast, Run.
#include <QApplication>
#include <QComboBox>
#include <QLabel>
#include <QMenu>
#include <QPushButton>
#include <QScrollArea>
#include <QScrollBar>
#include <QVBoxLayout>

#include "models/draft_edits.h"
#include "panels/forecast_view.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/recipe_fields.h"
#include "plot_style.h"
#include "run/recipe_title.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

class RecipePanel : public QWidget {
 public:
  RecipePanel(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
    setObjectName("recipePanel");
    setWindowTitle(tr("Recipe"));
    auto* column = make_panel_layout(this);
    scope_ = new SegmentSwitch(tr("What the fields edit"), this);
    scope_->setObjectName("recipeScope");
    scope_->addSegment(0, tr("Whole model"));
    scope_->addSegment(1, tr("Selection"));
    column->addWidget(scope_);
    make_preset(column);
    fields_ = new RecipeFields(workspace_, this);
    auto* scroll = new QScrollArea(this);
    scroll->setObjectName("recipeScroll");
    scroll->setFocusPolicy(Qt::NoFocus);
    scroll->setWidget(fields_);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setMinimumHeight(80);
    column->addWidget(scroll, 1);
    column->addWidget(new PendingView(workspace_, this));
    column->addWidget(new ForecastView(workspace_, this));
    problem_ = new QLabel(this);
    problem_->setForegroundRole(bad_role);
    problem_->setObjectName("recipeProblem");
    problem_->setWordWrap(true);
    problem_->hide();
    column->addWidget(problem_);
    make_buttons(column);
    setMinimumWidth(288);
    scope_->on_change = [this](int scope) { fields_->setSelectionScope(scope == 1); };
    connect(&workspace_, &Workspace::draftChanged, this, [this] { refresh(); });
    connect(&workspace_, &Workspace::selectionChanged, this, [this] { refresh_scope(); });
    connect(&workspace_, &Workspace::modelOpened, this, [this] {
      fill_presets();
      refresh();
      refresh_scope();
    });
    fill_presets();
    refresh();
    refresh_scope();
  }
  QSize sizeHint() const override { return {304, 600}; }

 private:
  void make_preset(QVBoxLayout* column) {
    auto* row = new QHBoxLayout;
    row->setSpacing(4);
    auto* label = make_dim_label(tr("Preset"), this);
    preset_ = new ElidedCombo(this);
    preset_->setObjectName("recipePreset");
    preset_->setAccessibleName(tr("Preset"));
    preset_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    preset_->setMinimumContentsLength(10);
    label->setBuddy(preset_);
    reset_ = new IconButton("reset", tr("Back to the preset as shipped"), this);
    reset_->setObjectName("recipePresetReset");
    auto* more = new IconButton("more", tr("Import, export, copy"), this);
    more->setObjectName("recipeMore");
    row->addWidget(label);
    row->addWidget(preset_, 1);
    row->addWidget(reset_);
    row->addWidget(more);
    column->addLayout(row);
    connect(preset_, &QComboBox::activated, this, [this](int index) { take_preset(index); });
    connect(reset_, &QToolButton::clicked, this, [this] { take_preset(base_); });
    connect(more, &QToolButton::clicked, this, [this, more] {
      QMenu menu(this);
      for (const char* name : {"importRecipeAction", "exportRecipeAction", "copyRecipeAction", "copyCommandAction", "revertAction"})
        if (auto* action = window()->findChild<QAction*>(name)) menu.addAction(action);
      menu.exec(more->mapToGlobal(QPoint(0, more->height())));
    });
  }

  void make_buttons(QVBoxLayout* column) {
    auto* row = new QHBoxLayout;
    row->setSpacing(8);
    run_ = new QPushButton(tr("▶  Run   F5"), this);
    run_->setObjectName("runButton");
    run_->setMinimumHeight(30);
    run_->setDefault(true);
    QFont bold = font();
    bold.setBold(true);
    run_->setFont(bold);
    queue_ = new QPushButton(tr("Queue"), this);
    queue_->setObjectName("queueButton");
    queue_->setMinimumHeight(30);
    queue_->setToolTip(tr("Starts when the runs before it are done; this perspective stays.  Ctrl+F5"));
    auto* copy = new IconButton("copy", tr("Copy as command"), this);
    copy->setObjectName("copyCommandButton");
    row->addWidget(run_, 3);
    row->addWidget(queue_, 2);
    row->addWidget(copy);
    column->addLayout(row);
    connect(run_, &QPushButton::clicked, this, [this] { trigger("runAction"); });
    connect(queue_, &QPushButton::clicked, this, [this] { trigger("queueAction"); });
    connect(copy, &QToolButton::clicked, this, [this] {
      trigger("copyCommandAction");
      workspace_.log(LogLevel::info, tr("The command was copied: %1").arg(workspace_.commandOfDraft()));
    });
  }

  void trigger(const char* action) {
    if (auto* found = window()->findChild<QAction*>(action)) found->trigger();
  }

  void fill_presets() {
    preset_->clear();
    for (const Recipe& recipe : workspace_.presets()) preset_->addItem(QString::fromStdString(recipe.name));
  }

  void take_preset(int index) {
    const auto& presets = workspace_.presets();
    if (index < 0 || std::size_t(index) >= presets.size() || !workspace_.hasModel()) return;
    const Recipe& recipe = presets[std::size_t(index)];
    workspace_.editDraft(tr("Preset %1").arg(QString::fromStdString(recipe.name)), recipe);
    refresh();
  }

  void refresh() {
    if (!workspace_.hasModel()) return;
    const auto& presets = workspace_.presets();
    const Recipe& draft = workspace_.draft();
    const Recipe* origin = origin_of(draft.name, presets);
    base_ = origin ? int(origin - presets.data()) : -1;
    const bool edited = !origin || !(*origin == draft);
    // The entry in force names what the draft is; the list keeps the presets' own names.
    for (std::size_t i = 0; i < presets.size(); ++i)
      preset_->setItemText(int(i), QString::fromStdString(int(i) == base_ ? draft.name : presets[i].name));
    preset_->setCurrentIndex(base_);
    preset_->setPlaceholderText(QString::fromStdString(workspace_.draft().name));
    preset_->setToolTip(base_ >= 0 ? preset_->currentText() : QString::fromStdString(workspace_.draft().name));
    reset_->setEnabled(edited && base_ >= 0);
    const auto problem = workspace_.draftProblem();
    problem_->setVisible(problem.has_value());
    problem_->setText(problem.value_or(QString()));
    run_->setEnabled(!problem);
    queue_->setEnabled(!problem);
    run_->setToolTip(problem.value_or(tr("Carries the recipe out on the whole model and evaluates it.  F5")));
  }

  void refresh_scope() {
    const auto count = workspace_.selectedLayers().size();
    for (auto* button : scope_->findChildren<QToolButton*>())
      if (button->text().startsWith(tr("Selection")))
        button->setText(count == 1 ? tr("Selection · 1 layer") : tr("Selection · %1 layers").arg(count));
    scope_->setSegmentEnabled(1, count > 0);
    if (count == 0 && scope_->current() == 1) scope_->setCurrent(0);
  }

  Workspace& workspace_;
  SegmentSwitch* scope_ = nullptr;
  QComboBox* preset_ = nullptr;
  IconButton* reset_ = nullptr;
  RecipeFields* fields_ = nullptr;
  QLabel* problem_ = nullptr;
  QPushButton *run_ = nullptr, *queue_ = nullptr;
  int base_ = -1;
};

}  // namespace

QWidget* make_recipe_panel(Workspace& workspace, QWidget* parent) { return new RecipePanel(workspace, parent); }

}  // namespace lrc::app
