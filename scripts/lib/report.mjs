/**
 * Ends a check: prints what is wrong and fails, or says in one line what was looked at.
 *
 * @param {readonly string[]} problems
 * @param {string} fine
 */
export function report(problems, fine) {
  for (const problem of problems) console.error(problem);
  if (problems.length === 0) console.log(fine);
  else process.exitCode = 1;
}
