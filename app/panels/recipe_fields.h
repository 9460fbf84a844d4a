#pragma once
// The fields of the recipe in their sections. One set of widgets serves both scopes: the whole model (edits the recipe's own
// values) and the selected layers (edits their overrides; what they inherit stands dim).
#include <QWidget>
#include <functional>
#include <memory>
#include <vector>

#include "run/recipe.h"

class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QGridLayout;
class QLabel;
class QLineEdit;
class QSlider;
class QSpinBox;
class QToolButton;
class QVBoxLayout;

namespace lrc::app {

class BudgetBox;
class ElidedLabel;
class FoldingSection;
class NumberBar;
class OverrideMark;
class RulesEditor;
class Workspace;

class RecipeFields : public QWidget {
  Q_OBJECT
 public:
  RecipeFields(Workspace& workspace, QWidget* parent);
  void setSelectionScope(bool selection);
  bool selectionScope() const { return selection_scope_; }
  void refresh();

 private:
  /// A label with the mark of an override, an editor, and ↺ where the selection has its own value.
  struct Row {
    QWidget* holder = nullptr;
    OverrideMark* mark = nullptr;
    QLabel* label = nullptr;
    QWidget* editor = nullptr;
    QToolButton* reset = nullptr;
    bool selection_too = false;
    std::function<bool(const Override&)> overridden;
    std::function<void(Override&)> forget;
  };
  Row& add_row(FoldingSection* section, const QString& label, QWidget* editor, std::function<bool(const Override&)> overridden = {},
               std::function<void(Override&)> forget = {});
  FoldingSection* add_section(const QString& title, bool open);
  void make_method();
  void make_weights();
  void make_activations();
  void make_cache();
  void make_rotation();
  void make_imported_rotation();
  void make_smoothing();
  void make_high_precision();
  void make_mix();
  /// A file's name with buttons to choose another and to do without one.
  ElidedLabel* add_file_row(FoldingSection* section, const QString& label, const char* object_name, const QString& choose_tip,
                            const QString& forget_tip, const std::function<void()>& choose, const std::function<void()>& forget);
  void make_correction();
  void make_calibration();
  void make_rules_and_budget();
  template <typename T>
  struct Choice;
  template <typename T>
  void add_choice(FoldingSection* section, Choice<T> choice);
  void make_solver_choices();
  void make_format_choices();
  void make_correction_choices();
  void make_calibration_choices();

  void edit(const QString& what, const std::function<void(Recipe&)>& model_wide, const std::function<void(Override&)>& own = {},
            int merge_id = -1);
  void show_rows();
  void show_cache();
  void show_values();
  void show_summaries();
  void show_transforms();
  void show_groups();
  void take_rank_text();
  void choose_text();
  void choose_rotation();

  Workspace& workspace_;
  QVBoxLayout* column_;
  bool selection_scope_ = false, showing_ = false;
  int drag_ = 0;
  std::vector<std::unique_ptr<Row>> rows_;
  std::vector<std::function<void()>> show_choices_;  ///< each brings one field to the draft
  FoldingSection *method_section_ = nullptr, *solver_section_ = nullptr, *formats_section_ = nullptr, *weights_section_ = nullptr,
                 *activations_section_ = nullptr, *cache_section_ = nullptr, *rotation_section_ = nullptr, *correction_section_ = nullptr,
                 *calibration_section_ = nullptr, *rules_section_ = nullptr, *budget_section_ = nullptr;
  RulesEditor* rules_ = nullptr;
  BudgetBox* budget_ = nullptr;
  QComboBox *method_ = nullptr, *group_ = nullptr, *weight_clip_ = nullptr, *act_group_ = nullptr, *kv_group_ = nullptr,
            *rank_rule_ = nullptr, *damping_toward_ = nullptr, *range_finder_ = nullptr, *smoothing_ = nullptr;
  QSpinBox *passes_ = nullptr, *seed_ = nullptr, *tokens_ = nullptr, *context_ = nullptr, *held_out_ = nullptr, *skip_first_ = nullptr;
  QSpinBox *refine_ = nullptr, *steps_ = nullptr, *square_ = nullptr, *high_bits_ = nullptr;
  QCheckBox *deflate_ = nullptr, *r1_ = nullptr, *r2_ = nullptr, *r3_ = nullptr, *r4_ = nullptr, *skip_ = nullptr, *kv_zeros_ = nullptr;
  NumberBar *weight_bits_ = nullptr, *act_bits_ = nullptr, *kv_bits_ = nullptr;
  QSlider *act_clip_slider_ = nullptr, *rank_slider_ = nullptr;
  QDoubleSpinBox *act_clip_ = nullptr, *kv_clip_ = nullptr, *smoothing_strength_ = nullptr, *high_share_ = nullptr, *mix_share_ = nullptr, *drift_ = nullptr;
  QLineEdit *layers_ = nullptr, *rank_ = nullptr, *damping_ = nullptr, *gptq_damping_ = nullptr;
  ElidedLabel *rank_note_ = nullptr, *rank_problem_ = nullptr, *group_note_ = nullptr, *rotation_note_ = nullptr, *kv_note_ = nullptr,
              *text_ = nullptr, *rotation_file_ = nullptr, *mix_ = nullptr;
};

}  // namespace lrc::app
