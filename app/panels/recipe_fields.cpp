#include "panels/recipe_fields.h"

#include <QCheckBox>
#include <QComboBox>
#include <QLabel>
#include <QSlider>
#include <QSpinBox>
#include <QToolButton>
#include <QVBoxLayout>

#include "models/allocator.h"
#include "models/draft_edits.h"
#include "panels/panel_widgets.h"
#include "panels/recipe_budget.h"
#include "panels/recipe_rows.h"
#include "panels/rules_editor.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

RecipeFields::RecipeFields(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  column_ = new QVBoxLayout(this);
  column_->setContentsMargins(0, 0, 8, 8);
  column_->setSpacing(4);
  make_method();
  make_solver_choices();
  make_weights();
  make_activations();
  make_format_choices();
  make_cache();
  make_rotation();
  make_imported_rotation();
  make_high_precision();
  make_smoothing();
  make_correction();
  make_correction_choices();
  make_calibration();
  make_calibration_choices();
  make_mix();
  make_rules_and_budget();
  column_->addStretch(1);
  connect(&workspace_, &Workspace::draftChanged, this, &RecipeFields::refresh);
  connect(&workspace_, &Workspace::selectionChanged, this, [this] {
    if (selection_scope_) refresh();
  });
  show_rows();
  refresh();
}

void RecipeFields::make_rules_and_budget() {
  rules_section_ = add_section(tr("Rules"), false);
  rules_ = new RulesEditor(workspace_, rules_section_);
  rules_section_->body()->addWidget(rules_);
  budget_section_ = add_section(tr("Budget"), true);
  budget_ = new BudgetBox(workspace_, budget_section_);
  budget_section_->body()->addWidget(budget_);
  connect(&Allocator::of(workspace_), &Allocator::changed, this, [this] { budget_section_->setSummary(budget_->summary()); });
}

FoldingSection* RecipeFields::add_section(const QString& title, bool open) {
  auto* section = new FoldingSection(title, this);
  section->setOpen(open);
  column_->addWidget(section);
  return section;
}

RecipeFields::Row& RecipeFields::add_row(FoldingSection* section, const QString& text, QWidget* editor,
                                         std::function<bool(const Override&)> overridden, std::function<void(Override&)> forget) {
  auto row = std::make_unique<Row>();
  row->holder = new QWidget(section);
  auto* cells = new QHBoxLayout(row->holder);
  cells->setContentsMargins(0, 0, 0, 0);
  cells->setSpacing(4);
  row->mark = new OverrideMark(row->holder);
  row->label = new QLabel(text, row->holder);
  row->label->setBuddy(editor);
  row->label->setFixedWidth(fontMetrics().horizontalAdvance("Scale per  "));
  row->editor = editor;
  if (editor->accessibleName().isEmpty()) editor->setAccessibleName(section->accessibleName() + " " + text);
  row->reset = new IconButton("reset", tr("Back to the model-wide value"), row->holder);
  row->reset->hide();
  cells->addWidget(row->mark);
  cells->addWidget(row->label);
  cells->addWidget(editor, 1);
  cells->addWidget(row->reset);
  section->body()->addWidget(row->holder);
  row->selection_too = bool(overridden);
  row->overridden = std::move(overridden);
  row->forget = std::move(forget);
  connect(row->reset, &QToolButton::clicked, this,
          [this, forget_it = row->forget, text] { edit(tr("%1 inherited").arg(text), {}, forget_it); });
  rows_.push_back(std::move(row));
  return *rows_.back();
}

// ---- Editing -----------------------------------------------------------------------------------------------------------

void RecipeFields::edit(const QString& what, const std::function<void(Recipe&)>& model_wide, const std::function<void(Override&)>& own,
                        int merge_id) {
  if (showing_ || !workspace_.hasModel()) return;
  if (selection_scope_ && own) {
    const auto& layers = workspace_.selectedLayers();
    if (layers.empty()) return;
    const Recipe changed =
        with_own_settings(workspace_.draft(), *workspace_.model(), layers, [&](Override& change, const LayerInfo&) { own(change); });
    workspace_.editDraft(QString("%1: %2").arg(QString::fromStdString(describe_layers(*workspace_.model(), layers)), what), changed,
                         merge_id);
  } else if (model_wide) {
    Recipe recipe = workspace_.draft();
    model_wide(recipe);
    workspace_.editDraft(what, recipe, merge_id);
  }
}

void RecipeFields::setSelectionScope(bool selection) {
  selection_scope_ = selection;
  if (selection) weights_section_->setOpen(true);
  show_rows();
  refresh();
}

void RecipeFields::show_rows() {
  for (const auto& row : rows_) row->holder->setVisible(!selection_scope_ || row->selection_too);
  skip_->parentWidget()->setVisible(selection_scope_);
  for (QWidget* section : {rotation_section_, rules_section_, budget_section_}) section->setVisible(!selection_scope_);
  rotation_note_->setVisible(!selection_scope_);
}

void RecipeFields::refresh() {
  if (!workspace_.hasModel()) return;
  showing_ = true;
  show_groups();
  show_values();
  rules_->refresh();
  show_summaries();
  showing_ = false;
}

}  // namespace lrc::app
