/** `init`: starts a mesh; works without a daemon. */
import type { Command } from 'commander'
import { checkSegment } from '../../../src/base/names.ts'
import type { Context } from '../context.ts'

interface Options {
  readonly mesh: string
  readonly site: string
  readonly region: string
  readonly listen?: string
  readonly http?: string
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .requiredOption('--mesh <NAME>', 'the name of the mesh')
    .requiredOption('--site <SITE>', 'the name of this site')
    .requiredOption('--region <REGION>', 'its region: sites that are near each other')
    .option('--listen <HOST:PORT>', 'where other nodes connect; kept in the config file')
    .option('--http <HOST:PORT>', 'where the gateway answers, or off; kept in the config file')
    .option('--json', 'print what was made as JSON')
    .action((options: Options) => init(context, options))
}

async function init(context: Context, options: Options): Promise<void> {
  const { paths, clock, env, terminal, self } = context
  const name = checkSegment(options.mesh, 'a mesh')
  const site = checkSegment(options.site, 'a site')
  const region = checkSegment(options.region, 'a region')
  const settings = {
    ...(options.listen === undefined ? {} : { listen: options.listen }),
    ...(options.http === undefined ? {} : { http: options.http }),
  }
  const [{ foundMesh }, { loadConfig }] = await Promise.all([
    import('../../found-mesh.ts'),
    import('../../config.ts'),
  ])
  // A setting that the daemon would refuse must not be written.
  await loadConfig({ file: paths.configFile, env, flags: settings })
  const made = await foundMesh({ paths, clock }, { name, site, region, settings })
  if (options.json === true) {
    await terminal.print(
      `${JSON.stringify({ ...made, adminKey: paths.adminKeyFile, recoveryKey: paths.recoveryKeyFile }, null, 2)}\n`,
    )
    return
  }
  await terminal.print(
    `mesh ${name} is started, with ${site} in ${region} as its first site\n` +
      `  mesh id       ${made.mesh.id}\n` +
      `  node          ${made.peer}\n` +
      `  admin key     ${paths.adminKeyFile}\n` +
      `  recovery key  ${paths.recoveryKeyFile}\n`,
  )
  terminal.say(
    `Take the recovery key off this machine and keep it safe: it alone replaces a lost or stolen admin key.\nNext: ${self} daemon`,
  )
}
