// Compiled twice, with FORMS naming the function: once with NDEBUG, once without.
#include "ndebug_forms.hpp"

namespace {
gpa::resource in_unnamed_namespace;
}
namespace FORMS_space {
gpa::resource at_namespace_scope;
gpa::resource at_namespace_scope_with_options({.name = "options"});
}  // namespace FORMS_space

std::vector<form> FORMS()
{
  using enum promise;
  constexpr gpa::checks always = gpa::checks::always();
  constexpr gpa::checks never = gpa::checks::never();
  const gpa::options by_build{.checks = gpa::checks::by_build()};

  gpa::resource plain;
  gpa::resource braced{};
  static gpa::resource in_static;
  gpa::resource upstream(gpa::page_resource());
  gpa::resource options({.name = "options"});
  gpa::resource options_upstream(gpa::options{}, gpa::page_resource());
  gpa::resource written({.checks = gpa::checks::by_build()});
  const std::unique_ptr<gpa::resource> by_new(new gpa::resource);
  const auto in_lambda = [] {
    gpa::resource r({.checks = gpa::checks::by_build()});
    return r.options().checks;
  };

  const auto unique = std::make_unique<gpa::resource>();
  const auto unique_by_build = std::make_unique<gpa::resource>(by_build);
  const auto unique_always = std::make_unique<gpa::resource>(gpa::options{.checks = always});
  const auto unique_never = std::make_unique<gpa::resource>(gpa::options{.checks = never});
  const auto shared = std::make_shared<gpa::resource>();
  const auto shared_by_build = std::make_shared<gpa::resource>(by_build);

  std::optional<gpa::resource> perhaps, perhaps_by_build, perhaps_always, perhaps_never;
  perhaps.emplace();
  perhaps_by_build.emplace(by_build);
  perhaps_always.emplace(gpa::options{.checks = always});
  perhaps_never.emplace(gpa::options{.checks = never});

  const implicitly_made member;

  const auto checks = [](const gpa::resource& r) { return r.options().checks; };
  return {
      {own_file, "function, plain", checks(plain)},
      {own_file, "function, braces", checks(braced)},
      {own_file, "function, static", checks(in_static)},
      {own_file, "function, upstream", checks(upstream)},
      {own_file, "function, options", checks(options)},
      {own_file, "function, options and upstream", checks(options_upstream)},
      {own_file, "function, new", checks(*by_new)},
      {own_file, "namespace scope", checks(FORMS_space::at_namespace_scope)},
      {own_file, "namespace scope, options", checks(FORMS_space::at_namespace_scope_with_options)},
      {own_file, "unnamed namespace", checks(in_unnamed_namespace)},
      {own_file, "by_build() written, function", checks(written)},
      {own_file, "by_build() written, lambda", in_lambda()},
      {own_file, "by_build() written, make_unique", checks(*unique_by_build)},
      {own_file, "by_build() written, make_shared", checks(*shared_by_build)},
      {own_file, "by_build() written, optional::emplace", checks(*perhaps_by_build)},
      {given_always, "always(), make_unique", checks(*unique_always)},
      {given_always, "always(), optional::emplace", checks(*perhaps_always)},
      {given_never, "never(), make_unique", checks(*unique_never)},
      {given_never, "never(), optional::emplace", checks(*perhaps_never)},
      {linkers_choice, "make_unique", checks(*unique)},
      {linkers_choice, "make_shared", checks(*shared)},
      {linkers_choice, "optional::emplace", checks(*perhaps)},
      {linkers_choice, "implicit constructor", checks(member.resource)},
  };
}
