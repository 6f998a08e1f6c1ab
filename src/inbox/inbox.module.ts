import { Module } from '@nestjs/common';
import { DatabaseModule } from '../database/database.module.js';
import { EventsModule } from '../events/events.module.js';
import { Due } from './due.js';
import { InboxController } from './inbox.controller.js';
import { Inbox } from './inbox.js';
import { NotificationsController } from './notifications.controller.js';
import { Notifications } from './notifications.js';

@Module({
  imports: [DatabaseModule, EventsModule],
  controllers: [InboxController, NotificationsController],
  providers: [Due, Inbox, Notifications],
})
export class InboxModule {}
