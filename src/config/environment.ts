import { ConfigModule } from '@nestjs/config';

/**
 * The variables of this process and, under them, those of a `.env` file in the working directory, where there is
 * one: what is set in the environment wins.
 */
export async function readEnvironment(): Promise<NodeJS.ProcessEnv> {
  await ConfigModule.forRoot();
  return process.env;
}
